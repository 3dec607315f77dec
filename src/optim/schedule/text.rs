//! Schedules as text.

use super::{Schedule, Shape};
use crate::error::{Error, Result};
use crate::text::{self, Field, TextForm, Value};
use std::fmt;
use std::str::FromStr;

/// A schedule of each shape, with the defaults of its function and 0 for numbers without a default.
fn with_defaults() -> [Schedule; 6] {
    [
        Schedule::constant(),
        Schedule::step(0, 0.0),
        Schedule::exponential(0.0),
        Schedule::cosine(0.0),
        Schedule::one_cycle(),
        Schedule::plateau(0.0, 0),
    ]
}

impl TextForm for Schedule {
    const OPTION: &'static str = "schedule";

    fn name(&self) -> &'static str {
        match self.shape {
            Shape::Constant => "constant",
            Shape::Step { .. } => "step",
            Shape::Exponential { .. } => "exponential",
            Shape::Cosine { .. } => "cosine",
            Shape::OneCycle { .. } => "one-cycle",
            Shape::Plateau { .. } => "plateau",
        }
    }

    fn fields(&mut self) -> Vec<Field<'_>> {
        let Schedule { shape, length, warm_up, each_epoch, smallest } = self;
        let mut fields = match shape {
            Shape::Constant => vec![],
            Shape::Step { every, factor } => vec![
                Field::required("every", Value::Count(every)),
                Field::required("factor", Value::Real(factor)),
            ],
            Shape::Exponential { factor } => {
                vec![Field::required("factor", Value::Real(factor))]
            }
            Shape::Cosine { floor } => vec![Field::required("floor", Value::Real(floor))],
            Shape::OneCycle { rise, first, last } => vec![
                Field::new("rise", Value::Real(rise)),
                Field::new("first", Value::Real(first)),
                Field::new("last", Value::Real(last)),
            ],
            Shape::Plateau { factor, patience } => vec![
                Field::required("factor", Value::Real(factor)),
                Field::required("patience", Value::Size(patience)),
            ],
        };
        fields.push(Field::new("over", Value::OptionalCount(length)));
        fields.push(Field::unless_zero("warm-up", Value::Count(&mut warm_up.0)));
        fields.push(Field::unless_zero("warm-up-from", Value::Real(&mut warm_up.1)));
        fields.push(Field::new("smallest-rate", Value::OptionalReal(smallest)));
        fields.push(Field::new("ticks", Value::Words(each_epoch, ["steps", "epochs"])));
        fields
    }
}

impl fmt::Display for Schedule {
    /// The shape and its numbers, with the fewest digits that keep their bits; the length, the warm-up
    /// and the smallest rate where they are set; and what a tick is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write(self, f)
    }
}

impl FromStr for Schedule {
    type Err = Error;

    /// Reads what `Display` writes: a shape, a colon, and numbers in any order with commas between
    /// them.
    ///
    /// | text | schedule |
    /// |---|---|
    /// | `constant` | [`Schedule::constant`] |
    /// | `step:every=3,factor=0.5` | [`Schedule::step`] |
    /// | `exponential:factor=0.9` | [`Schedule::exponential`] |
    /// | `cosine:floor=0.1` | [`Schedule::cosine`] |
    /// | `one-cycle`, `one-cycle:rise=0.25,first=0.1,last=0.001` | [`Schedule::one_cycle`], [`Schedule::one_cycle_with`] |
    /// | `plateau:factor=0.5,patience=3` | [`Schedule::plateau`] |
    /// | `over=500` | [`Schedule::over`] |
    /// | `warm-up=20,warm-up-from=0.5` | [`Schedule::warm_up`]; from 0 where the second is left out |
    /// | `smallest-rate=1e-6` | [`Schedule::smallest_rate`] |
    /// | `ticks=steps`, `ticks=epochs` | [`Schedule::each_step`], [`Schedule::each_epoch`] |
    ///
    /// The last four may follow the numbers of any shape, and may be left out.
    ///
    /// ```
    /// use deltarule::Schedule;
    ///
    /// let schedule: Schedule = "cosine:floor=0.1,warm-up=20".parse()?;
    /// assert_eq!(schedule, Schedule::cosine(0.1).warm_up(20, 0.0));
    /// assert_eq!(schedule.to_string(), "cosine:floor=0.1,warm-up=20,ticks=steps");
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for another text. Ranges, and whether the numbers go with the shape, are
    /// checked where the schedule is used.
    fn from_str(text: &str) -> Result<Schedule> {
        text::read(text, &with_defaults())
    }
}
