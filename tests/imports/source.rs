//! What one file declares, imports and mentions, its tests left out.

use crate::tokens::{Token, tokens};
use std::collections::BTreeSet;

/// A name that a `use` brings into scope.
#[derive(Debug)]
pub struct Import {
    pub name: String,
    pub path: Vec<String>,
    pub line: usize,
    /// `pub use`, with any visibility: the name is passed on.
    pub passed_on: bool,
    /// The `use` stands in a function.
    pub local: bool,
    /// `use a::*`.
    pub glob: bool,
}

/// A child module: a file of its own, or written in place.
#[derive(Debug)]
pub struct Child {
    pub name: String,
    /// The file that `#[path]` or `#[cfg_attr(…, path = …)]` names.
    pub other_file: Option<String>,
    pub in_place: Option<Source>,
}

/// One module as it is written.
#[derive(Debug, Default)]
pub struct Source {
    pub children: Vec<Child>,
    pub items: BTreeSet<String>,
    pub imports: Vec<Import>,
    /// Paths in the code, such as `crate::math::exp`, with their lines.
    pub paths: Vec<(Vec<String>, usize)>,
    /// Words in the code that are neither imported, nor methods or fields, nor the end of a path.
    pub words: BTreeSet<String>,
}

/// Reads the text of a file.
pub fn read(text: &str) -> Source {
    module(&tokens(text))
}

/// The place behind the bracket that closes the one at `open`.
fn behind(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// Does the attribute keep what follows out of everything but tests?
fn tests_only(attribute: &[Token]) -> bool {
    let text: Vec<&str> = attribute.iter().map(|token| token.text.as_str()).collect();
    text.starts_with(&["cfg", "(", "test", ")"])
        || text.starts_with(&["cfg", "(", "all", "(", "test", ","])
}

/// The place behind the item, field, variant or statement that begins at `i`.
fn after_item(tokens: &[Token], mut i: usize) -> usize {
    while i < tokens.len() && tokens[i].is("#") {
        i = behind(tokens, i + 1);
    }
    if i < tokens.len() && tokens[i].is("pub") {
        i += 1;
        if i < tokens.len() && tokens[i].is("(") {
            i = behind(tokens, i);
        }
    }
    let Some(first) = tokens.get(i) else { return i };
    let ends_with_block =
        ["fn", "mod", "impl", "struct", "enum", "trait", "unsafe", "macro_rules", "async", "{"];
    let ends_with_semicolon = ["use", "const", "static", "type", "let"];
    let block = ends_with_block.iter().any(|word| first.is(word))
        || (first.is("const") && tokens.get(i + 1).is_some_and(|next| next.is("fn")));
    let semicolon = !block && ends_with_semicolon.iter().any(|word| first.is(word));
    while i < tokens.len() {
        match tokens[i].text.as_str() {
            ";" => return i + 1,
            "," if !block && !semicolon => return i + 1,
            "}" => return i,
            "{" if block => return behind(tokens, i),
            "(" | "[" | "{" => i = behind(tokens, i),
            _ => i += 1,
        }
    }
    i
}

fn module(tokens: &[Token]) -> Source {
    let mut out = Source::default();
    let mut other_file = None;
    let (mut i, mut depth, mut passed_on) = (0, 0, false);
    let text = |i: usize| tokens.get(i).map_or("", |token| token.text.as_str());
    while i < tokens.len() {
        let token = &tokens[i];
        match token.text.as_str() {
            "#" => {
                let open = if text(i + 1) == "!" { i + 2 } else { i + 1 };
                let end = behind(tokens, open);
                let attribute = &tokens[open + 1..end - 1];
                let path = attribute.windows(2).position(|w| w[0].is("path") && w[1].is("="));
                if let Some(path) = path.and_then(|at| attribute.get(at + 2)) {
                    other_file = Some(path.text.trim_start_matches('"').to_string());
                }
                i = if tests_only(attribute) { after_item(tokens, end) } else { end };
                continue;
            }
            "pub" => {
                passed_on = true;
                i = if text(i + 1) == "(" { behind(tokens, i + 1) } else { i + 1 };
                continue;
            }
            "use" if text(i + 1) != "<" => {
                let end = (i..tokens.len()).find(|&i| tokens[i].is(";")).unwrap_or(tokens.len());
                let from = out.imports.len();
                imports(&tokens[i + 1..end], &mut Vec::new(), &mut out.imports);
                for import in &mut out.imports[from..] {
                    (import.passed_on, import.local) = (passed_on, depth > 0);
                }
                i = end;
            }
            "mod" if depth == 0 => {
                let name = text(i + 1).to_string();
                let end = behind(tokens, i + 2);
                let in_place = (text(i + 2) == "{").then(|| module(&tokens[i + 3..end - 1]));
                i = if in_place.is_some() { end } else { i + 3 };
                out.children.push(Child { name, other_file: other_file.take(), in_place });
                passed_on = false;
                continue;
            }
            "fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "union"
                if depth == 0 && !matches!(text(i.wrapping_sub(1)), "<" | ",") =>
            {
                out.items.insert(text(i + 1).to_string());
            }
            "macro_rules" if depth == 0 => {
                out.items.insert(text(i + 2).to_string());
            }
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ if token.is_word() => {
                let before = text(i.wrapping_sub(1));
                if !matches!(before, "." | "::" | "fn") {
                    out.words.insert(token.text.clone());
                    let mut path = vec![token.text.clone()];
                    while text(i + 1) == "::" && tokens.get(i + 2).is_some_and(Token::is_word) {
                        path.push(text(i + 2).to_string());
                        i += 2;
                    }
                    if path.len() > 1 {
                        out.paths.push((path, token.line));
                    }
                }
            }
            _ => {}
        }
        (passed_on, other_file) = (false, None);
        i += 1;
    }
    out
}

/// The names of one `use`, `tokens` being what stands behind `prefix` up to the semicolon, or one
/// part of a list in braces.
fn imports(tokens: &[Token], prefix: &mut Vec<String>, out: &mut Vec<Import>) {
    let before = prefix.len();
    let mut i = 0;
    while i < tokens.len() {
        let token = &tokens[i];
        match token.text.as_str() {
            "{" => {
                let inside = &tokens[i + 1..behind(tokens, i) - 1];
                let (mut from, mut at) = (0, 0);
                while at <= inside.len() {
                    if at == inside.len() || inside[at].is(",") {
                        imports(&inside[from..at], prefix, out);
                        (from, at) = (at + 1, at + 1);
                    } else {
                        at = if inside[at].is("{") { behind(inside, at) } else { at + 1 };
                    }
                }
                prefix.truncate(before);
                return;
            }
            "::" => i += 1,
            "as" => break,
            _ => {
                prefix.push(token.text.clone());
                i += 1;
            }
        }
    }
    if prefix.len() > before {
        let mut path = prefix.clone();
        let glob = path.last().is_some_and(|last| last == "*");
        // `use a::{self, b}` imports a.
        if glob || (path.len() > 1 && path.last().is_some_and(|last| last == "self")) {
            path.pop();
        }
        let alias = tokens.get(i + 1).filter(|_| i < tokens.len());
        let name = alias.map_or_else(|| path[path.len() - 1].clone(), |t| t.text.clone());
        let line = tokens[0].line;
        out.push(Import { name, path, line, passed_on: false, local: false, glob });
    }
    prefix.truncate(before);
}
