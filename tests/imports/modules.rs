//! The modules of the crate, and which file each import leads to.

use crate::source::{Source, read};
use std::collections::BTreeMap;

/// An import or a path in the code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    pub from: String,
    pub line: usize,
    /// The path as it is written.
    pub path: String,
    /// The files that define what it names.
    pub to: Vec<String>,
    /// The top modules that the path passes through, itself or by re-exports.
    pub tops: Vec<String>,
    /// The name is a re-export of the crate's root.
    pub through_root: bool,
    /// A re-export of a name that the file does not mention otherwise.
    pub passed_on_only: bool,
    pub glob: bool,
}

struct Module {
    /// Two where the system decides which of two files it is.
    sources: Vec<(String, Source)>,
    parent: Option<usize>,
    /// The module of `lib.rs` that it is or lies in; none for `lib.rs`.
    top: Option<String>,
    children: BTreeMap<String, usize>,
}

/// What a path leads to.
#[derive(Default)]
struct Found {
    files: Vec<String>,
    tops: Vec<String>,
    through_root: bool,
    module: Option<usize>,
}

/// All modules; the first is the root.
pub struct Modules(Vec<Module>);

impl Modules {
    /// Reads the modules that `lib.rs` declares out of files named by their path below `src`.
    ///
    /// # Panics
    /// When a declared module has no file.
    pub fn new(files: &BTreeMap<String, String>) -> Self {
        let mut modules = Self(Vec::new());
        modules.add(files, vec![("lib.rs".to_string(), read(&files["lib.rs"]))], "", None, None);
        modules
    }

    /// Adds a module and what is below it; `folder` is where its children lie, with a slash behind.
    fn add(
        &mut self,
        files: &BTreeMap<String, String>,
        mut sources: Vec<(String, Source)>,
        folder: &str,
        parent: Option<usize>,
        top: Option<String>,
    ) -> usize {
        let id = self.0.len();
        let children: Vec<_> = sources
            .iter_mut()
            .flat_map(|(file, s)| s.children.drain(..).map(|child| (file.clone(), child)))
            .collect();
        let (top_of_child, no_children) = (top.clone(), BTreeMap::new());
        self.0.push(Module { sources, parent, top, children: no_children });
        for (file, child) in children {
            let below = format!("{folder}{}", child.name);
            let top = top_of_child.clone().or_else(|| Some(child.name.clone()));
            let sources = match child.in_place {
                Some(source) => vec![(file, source)],
                None => [
                    Some(format!("{below}.rs")),
                    Some(format!("{below}/mod.rs")),
                    child.other_file.map(|name| format!("{folder}{name}")),
                ]
                .into_iter()
                .flatten()
                .filter_map(|name| files.get(&name).map(|text| (name, read(text))))
                .collect(),
            };
            assert!(!sources.is_empty(), "no file of the module {below}");
            let module = self.add(files, sources, &format!("{below}/"), Some(id), top);
            self.0[id].children.insert(child.name, module);
        }
        id
    }

    /// How many files there are.
    pub fn n_files(&self) -> usize {
        self.0.iter().map(|module| module.sources.len()).sum()
    }

    /// Every import of the crate's own names, and every path in the code that begins with `crate`,
    /// `self`, `super` or a module in scope. `lib.rs` is left out: it stands above all.
    pub fn edges(&self) -> Vec<Edge> {
        let mut edges = Vec::new();
        for (id, module) in self.0.iter().enumerate().skip(1) {
            for (file, source) in &module.sources {
                let mut add = |path: &[String], line: usize, passed_on_only: bool, glob: bool| {
                    let Some(found) = self.resolve(id, path, 0) else { return };
                    edges.push(Edge {
                        from: file.clone(),
                        line,
                        path: path.join("::"),
                        to: found.files,
                        tops: found.tops,
                        through_root: found.through_root,
                        passed_on_only,
                        glob,
                    });
                };
                for import in &source.imports {
                    let only = import.passed_on && !source.words.contains(&import.name);
                    add(&import.path, import.line, only, import.glob);
                }
                for (path, line) in &source.paths {
                    let anchored = matches!(path[0].as_str(), "crate" | "self" | "super");
                    let first = || self.look_up(id, &path[0], 0);
                    // `Type::function` is an import already.
                    if anchored || first().is_some_and(|found| found.module.is_some()) {
                        add(path, *line, false, false);
                    }
                }
            }
        }
        edges
    }

    /// What `path` names in module `from`; none where that is not of this crate.
    fn resolve(&self, from: usize, path: &[String], depth: usize) -> Option<Found> {
        let mut at = from;
        let mut rest = path;
        let anchor = matches!(rest.first()?.as_str(), "crate" | "self" | "super");
        while let Some(first) = rest.first() {
            at = match first.as_str() {
                "crate" => 0,
                "self" => at,
                "super" => self.0[at].parent?,
                _ => break,
            };
            rest = &rest[1..];
        }
        let mut found = self.module(at);
        let mut through_root = false;
        for (i, name) in rest.iter().enumerate() {
            let Some(module) = found.module else { break };
            let next = match self.look_up(module, name, depth) {
                Some(next) => next,
                None if i == 0 && !anchor => return None,
                // Another crate's name, imported there.
                None if self.imported(module, name).is_some() => return None,
                // Made by a macro of that module.
                None => Found { module: None, ..self.module(module) },
            };
            let root = module == 0 && (i > 0 || anchor) && next.module.is_none();
            through_root |= root || next.through_root;
            let tops = [found.tops, next.tops].concat();
            found = Found { tops, ..next };
        }
        // The way begins in the module itself, which is no import.
        let own = self.0[from].top.clone();
        found.tops.retain(|top| Some(top) != own.as_ref());
        found.tops.dedup();
        found.through_root = through_root;
        Some(found)
    }

    fn module(&self, id: usize) -> Found {
        let module = &self.0[id];
        Found {
            files: module.sources.iter().map(|(file, _)| file.clone()).collect(),
            tops: module.top.iter().cloned().collect(),
            through_root: false,
            module: Some(id),
        }
    }

    fn imported(&self, id: usize, name: &str) -> Option<&[String]> {
        let imports = self.0[id].sources.iter().flat_map(|(_, source)| &source.imports);
        let mut named: Vec<_> = imports.filter(|i| i.name == name && !i.glob).collect();
        named.sort_by_key(|import| import.local);
        named.first().map(|import| import.path.as_slice())
    }

    /// What `name` is in a module: a child, an item, or an import.
    fn look_up(&self, id: usize, name: &str, depth: usize) -> Option<Found> {
        let module = &self.0[id];
        if let Some(&child) = module.children.get(name) {
            return Some(self.module(child));
        }
        let defining = module.sources.iter().filter(|(_, source)| source.items.contains(name));
        let files: Vec<String> = defining.map(|(file, _)| file.clone()).collect();
        if !files.is_empty() {
            return Some(Found { files, module: None, ..self.module(id) });
        }
        // `use rand::rand;` would lead back to itself.
        if depth > 20 {
            return None;
        }
        let path = self.imported(id, name)?;
        if path[0] == name && path.len() == 1 {
            return None;
        }
        self.resolve(id, path, depth + 1)
    }
}
