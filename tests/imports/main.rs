//! Modules import only what stands below them.
//!
//! Two rules, read from the `use` lines and the paths in the code of every file in `src`, without
//! comments and tests:
//!
//! 1. A top module imports only from the modules before it in [`ORDER`], each name from the module
//!    that has it, never from a re-export in `lib.rs`, and never with `*`.
//! 2. The files of a top module import each other without a circle. An import leads to the file that
//!    defines the name, through any number of `pub use`. So a child may use what its parent's `mod.rs`
//!    passes on from a sibling, but not what `mod.rs` defines, if `mod.rs` itself uses that child.
//!    To declare a module, or to pass on a name without using it, is no import.

mod modules;
mod source;
mod tokens;

use modules::{Edge, Modules};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

/// The top modules, the lowest first. `lib.rs` stands above all of them.
const ORDER: [&str; 20] = [
    "error",
    "text",
    "simd",
    "storage",
    "math",
    "threads",
    "gemm",
    "activation",
    "passes",
    "optim",
    "loss",
    "network",
    "format",
    "data",
    "metrics",
    "program",
    "io",
    "run",
    "reference",
    "gradient",
];

/// What breaks the rules, a line each.
fn violations(modules: &Modules) -> Vec<String> {
    let edges = modules.edges();
    let mut lines: Vec<String> = edges.iter().flat_map(faults).collect();
    lines.extend(circles(&edges));
    lines
}

fn top(file: &str) -> &str {
    file.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

/// What is wrong with one import, whatever the others are.
fn faults(edge: &Edge) -> Vec<String> {
    let Edge { from, line, path, .. } = edge;
    let rank = |module: &str| ORDER.iter().position(|&name| name == module);
    let mut out = Vec::new();
    if edge.glob {
        out.push(format!("src/{from}:{line}: {path}::* hides what is imported"));
    }
    if edge.through_root {
        out.push(format!("src/{from}:{line}: {path} is imported from the crate's root"));
    }
    let own = top(from);
    for module in &edge.tops {
        let Some(rank_of_module) = rank(module) else {
            out.push(format!("src/{from}:{line}: {path}: {module} is not in the order"));
            continue;
        };
        if rank(own).is_none_or(|rank| rank < rank_of_module) {
            out.push(format!("src/{from}:{line}: {path}: {own} stands below {module}"));
        }
    }
    out
}

/// The circles within top modules: the shortest way around, then every import that is part of one.
fn circles(edges: &[Edge]) -> Vec<String> {
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let imports = |edge: &&Edge| !edge.passed_on_only;
    for edge in edges.iter().filter(imports) {
        let near = edge.to.iter().filter(|to| top(to) == top(&edge.from) && **to != edge.from);
        graph.entry(&edge.from).or_default().extend(near.map(String::as_str));
    }
    let mut out = Vec::new();
    let mut done = BTreeSet::new();
    for &file in graph.keys() {
        if done.contains(file) {
            continue;
        }
        let knot: BTreeSet<&str> = graph
            .keys()
            .copied()
            .filter(|&other| {
                way(&graph, file, other).is_some() && way(&graph, other, file).is_some()
            })
            .collect();
        done.extend(knot.iter().copied());
        let shortest = knot.iter().filter_map(|&file| way(&graph, file, file)).min_by_key(Vec::len);
        let Some(shortest) = shortest else { continue };
        out.push(format!(
            "circle of {} files, for instance src/{}",
            knot.len(),
            shortest.join(" → src/")
        ));
        for edge in edges.iter().filter(imports).filter(|edge| knot.contains(edge.from.as_str())) {
            for to in edge.to.iter().filter(|to| **to != edge.from && knot.contains(to.as_str())) {
                out.push(format!("  src/{}:{}: {} (src/{to})", edge.from, edge.line, edge.path));
            }
        }
    }
    out
}

/// The shortest way of at least one import, both ends included.
fn way<'a>(
    graph: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    from: &'a str,
    to: &str,
) -> Option<Vec<&'a str>> {
    let mut ways = VecDeque::from([vec![from]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for &next in graph.get(way[way.len() - 1]).into_iter().flatten() {
            let longer = [way.as_slice(), &[next]].concat();
            if next == to {
                return Some(longer);
            }
            if seen.insert(next) {
                ways.push_back(longer);
            }
        }
    }
    None
}

/// The files below `folder`, by their path in it.
fn read_folder(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_folder(root, &path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            files.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn modules_import_only_what_is_below_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    read_folder(&src, &src, &mut files);
    let modules = Modules::new(&files);
    assert!(modules.n_files() > 100, "found {} files", modules.n_files());
    let violations = violations(&modules);
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// The violations of a crate made of these files.
fn planted(files: &[(&str, &str)]) -> Vec<String> {
    let text = |&(name, text): &(&str, &str)| (name.to_string(), text.to_string());
    violations(&Modules::new(&files.iter().map(text).collect()))
}

/// Each planted line is found, by its file and line; `good` ones are not.
#[test]
fn planted_imports_that_go_up_are_found() {
    let lib = "mod error; mod math; mod optim; mod data; pub use error::Error;";
    let found = |math: &str| {
        planted(&[
            ("lib.rs", lib),
            ("error.rs", "pub struct Error;"),
            ("math.rs", math),
            ("optim.rs", "pub fn rule() {} pub use crate::math::f;"),
            ("data/mod.rs", "pub mod csv; use std::io::Read; pub use csv::read as parse;"),
            ("data/csv.rs", "use crate::{error::Error as E, optim}; pub fn read() {}"),
        ])
    };
    let good = [
        "use crate::error::Error;\n/// use crate::optim::rule;\nfn f() { crate::error::Error::new(); }",
        "fn f() {} // crate::optim::rule()\nconst TEXT: &str = r#\"\"use crate::optim;\"#;",
        "fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' }\n#[cfg(test)]\nuse crate::optim::rule;",
        "fn f() {}\n#[cfg(test)]\nmod tests {\n use crate::data::parse;\n use super::*;\n}",
        "fn f() {}\n#[cfg(all(test, feature = \"x\"))]\nfn test<A, B>() { crate::optim::rule() }",
        "use std::io::Read; pub(crate) fn f() -> impl Iterator<Item = u8> + use<> { optim::x() }",
    ];
    for math in good {
        assert_eq!(found(math), Vec::<String>::new(), "{math}");
    }
    let bad = [
        ("use crate::optim::rule;", "src/math.rs:1: crate::optim::rule: math stands below optim"),
        (
            "use crate::{\n    error::Error,\n    data::{csv::{self}, parse},\n};",
            "src/math.rs:3: crate::data::csv: math stands below data",
        ),
        ("\nfn f() { crate::optim::rule() }", "src/math.rs:2: crate::optim::rule: math stands"),
        ("fn f() { use super::data;\ndata::parse() }", "src/math.rs:2: data::parse: math stands"),
        ("#[cfg(test)]\nfn g() {}\nuse super::optim;", "src/math.rs:3: super::optim: math stands"),
        ("#[cfg(unix)]\nuse super::optim;", "src/math.rs:2: super::optim: math stands"),
        ("use crate::Error;", "src/math.rs:1: crate::Error is imported from the crate's root"),
        ("use crate::error::*;", "src/math.rs:1: crate::error::* hides what is imported"),
        ("pub(crate) use crate::optim::rule;", "src/math.rs:1: crate::optim::rule: math stands"),
    ];
    for (math, expected) in bad {
        let found = found(math);
        assert!(found.iter().any(|line| line.starts_with(expected)), "{math}: {found:#?}");
    }
}

#[test]
fn planted_modules_outside_the_order_are_found() {
    let found = planted(&[
        ("lib.rs", "mod math; mod other;"),
        ("math.rs", "use crate::other;"),
        ("other.rs", "use crate::math;"),
    ]);
    assert_eq!(
        found,
        [
            "src/math.rs:1: crate::other: other is not in the order",
            "src/other.rs:1: crate::math: other stands below math",
        ]
    );
}

#[test]
fn planted_circles_are_found() {
    let found = |parent: &str, a: &str, b: &str| {
        let parent = format!("mod a;\n#[cfg_attr(unix, path = \"c.rs\")]\nmod b;\n{parent}");
        planted(&[
            ("lib.rs", "mod math;"),
            ("math/mod.rs", &parent),
            ("math/a.rs", a),
            ("math/b.rs", b),
            ("math/c.rs", ""),
        ])
    };
    let none = Vec::<String>::new();
    // What a parent passes on is the sibling's.
    assert_eq!(
        found("pub use a::A; use b::B;", "pub struct A;", "use super::A; pub struct B;"),
        none
    );
    // Passing on is not using.
    assert_eq!(found("pub use a::A; pub trait T {}", "use super::T; pub struct A;", ""), none);
    let used = found("pub use a::A; pub trait T { fn a(&self) -> A; }", "use super::T;", "");
    assert_eq!(
        used,
        [
            "circle of 2 files, for instance src/math/a.rs → src/math/mod.rs → src/math/a.rs",
            "  src/math/mod.rs:4: a::A (src/math/a.rs)",
            "  src/math/a.rs:1: super::T (src/math/mod.rs)",
        ]
    );
    let siblings =
        found("", "use super::b::B;\npub struct A;", "pub struct B;\nfn f() { super::a::f() }");
    assert_eq!(siblings.len(), 3, "{siblings:#?}");
    assert!(siblings[2].contains("src/math/b.rs:2: super::a::f"), "{siblings:#?}");
    // Through two re-exports and a local import.
    let long = found(
        "pub use b::B; pub(crate) use b::inner::C;",
        "fn f() { use crate::math::C; }",
        "pub mod inner { pub struct C; }\nfn g() { use super::a;\na::f() }",
    );
    assert_eq!(long.len(), 4, "{long:#?}");
    // In the file that another system takes.
    let other = planted(&[
        ("lib.rs", "mod math;"),
        ("math/mod.rs", "mod a; #[cfg_attr(unix, path = \"c.rs\")] mod b;"),
        ("math/a.rs", "use super::b::B;"),
        ("math/b.rs", "pub struct B;"),
        ("math/c.rs", "use super::a::A; pub struct B;"),
    ]);
    assert_eq!(other.len(), 3, "{other:#?}");
}
