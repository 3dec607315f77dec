//! Pictures as SVG files: panels side by side, each with areas, curves and dots.

#![allow(dead_code, reason = "no program that includes this file uses all of it")]

use plotters::prelude::*;
use std::error::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use plotters::chart::SeriesLabelPosition;
pub use plotters::style::RGBColor;

/// Colours that stay apart for most eyes (Okabe and Ito 2008).
pub const COLORS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
];

/// Pixels of a panel.
const WIDTH: u32 = 300;
const HEIGHT: u32 = 230;

/// One chart.
pub struct Panel {
    /// Above the chart.
    pub title: String,
    /// What is drawn from left to right.
    pub x: Range<f64>,
    /// What is drawn from bottom to top.
    pub y: Range<f64>,
    /// Two opposite corners of a rectangle, and its colour.
    pub areas: Vec<([(f64, f64); 2], RGBColor)>,
    /// Lines.
    pub curves: Vec<Curve>,
    /// Points, and their colours.
    pub dots: Vec<((f64, f64), RGBColor)>,
    /// Where the names of the curves are; at first at the upper left.
    pub legend: SeriesLabelPosition,
}

/// A line through points. Those outside of the panel are left out.
pub struct Curve {
    /// For the legend; empty for none.
    pub name: String,
    /// Of the line.
    pub color: RGBColor,
    /// From the first to the last.
    pub points: Vec<(f64, f64)>,
}

impl Panel {
    /// An empty chart.
    pub fn new(title: impl Into<String>, x: Range<f64>, y: Range<f64>) -> Self {
        let title = title.into();
        let (areas, curves, dots) = (Vec::new(), Vec::new(), Vec::new());
        Panel { title, x, y, areas, curves, dots, legend: SeriesLabelPosition::UpperLeft }
    }

    /// The middles of this number of cells in each direction, row by row from the bottom: x and y of each.
    pub fn middles(&self, cells: usize) -> Vec<f64> {
        let at = |range: &Range<f64>, i: usize| along(range, (i as f64 + 0.5) / cells as f64);
        (0..cells * cells).flat_map(|i| [at(&self.x, i % cells), at(&self.y, i / cells)]).collect()
    }

    /// Fills this number of cells in each direction, numbered as in [`Panel::middles`]. Neighbours of one colour
    /// in a row become one rectangle.
    pub fn fill(&mut self, cells: usize, color: impl Fn(usize) -> RGBColor) {
        let at = |range: &Range<f64>, i: usize| along(range, i as f64 / cells as f64);
        for row in 0..cells {
            let color = |col: usize| color(row * cells + col);
            let mut start = 0;
            for col in 1..=cells {
                if col == cells || color(col) != color(start) {
                    let from = (at(&self.x, start), at(&self.y, row));
                    let to = (at(&self.x, col), at(&self.y, row + 1));
                    self.areas.push(([from, to], color(start)));
                    start = col;
                }
            }
        }
    }

    fn holds(&self, point: &(f64, f64)) -> bool {
        (self.x.start..=self.x.end).contains(&point.0)
            && (self.y.start..=self.y.end).contains(&point.1)
    }
}

fn along(range: &Range<f64>, share: f64) -> f64 {
    range.start + (range.end - range.start) * share
}

/// A share of the second colour, the rest of the first.
pub fn mixed(a: RGBColor, b: RGBColor, share: f64) -> RGBColor {
    let mix = |a: u8, b: u8| (f64::from(a) * (1.0 - share) + f64::from(b) * share) as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// `target/lecture/NAME.svg`, or in the folder that the first argument of the program names.
pub fn file(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).unwrap_or("target/lecture".into());
    std::fs::create_dir_all(&folder)?;
    Ok(Path::new(&folder).join(name).with_extension("svg"))
}

/// Draws the panels, so many in a row.
pub fn save(path: &Path, columns: usize, panels: &[Panel]) -> Result<(), Box<dyn Error>> {
    let rows = panels.len().div_ceil(columns);
    let size = (columns as u32 * WIDTH, rows as u32 * HEIGHT);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (panel, area) in panels.iter().zip(root.split_evenly((rows, columns))) {
        let mut chart = ChartBuilder::on(&area)
            .caption(&panel.title, ("sans-serif", 15))
            .margin(6)
            .margin_right(14)
            .x_label_area_size(20)
            .y_label_area_size(38)
            .build_cartesian_2d(panel.x.clone(), panel.y.clone())?;
        let rectangles =
            panel.areas.iter().map(|&(corners, c)| Rectangle::new(corners, c.filled()));
        chart.draw_series(rectangles)?;
        chart.configure_mesh().x_labels(5).y_labels(5).light_line_style(TRANSPARENT).draw()?;
        for curve in &panel.curves {
            let color = curve.color;
            let points = curve.points.iter().filter(|p| panel.holds(p)).copied();
            let line = chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
            if !curve.name.is_empty() {
                let swatch = move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color);
                line.label(&curve.name).legend(swatch);
            }
        }
        let dots = panel.dots.iter().filter(|(p, _)| panel.holds(p));
        chart.draw_series(dots.map(|&(p, c)| Circle::new(p, 2, c.filled())))?;
        if panel.curves.iter().any(|c| !c.name.is_empty()) {
            let mut labels = chart.configure_series_labels();
            labels.position(panel.legend.clone()).background_style(WHITE).draw()?;
        }
    }
    root.present()?;
    Ok(())
}
