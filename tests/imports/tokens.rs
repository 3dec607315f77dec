//! Rust source cut into words and signs, without comments and white space.

/// One word, number, sign, `::` or string, and the line it begins on.
#[derive(Clone, Debug)]
pub struct Token {
    /// A string literal keeps its opening quote, so that it equals no word.
    pub text: String,
    pub line: usize,
}

impl Token {
    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The tokens of a file.
pub fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let (mut i, mut line) = (0, 1);
    let mut out = Vec::new();
    while i < chars.len() {
        let begin = i;
        let first = at(i);
        let mut kept = true;
        match first {
            _ if first.is_whitespace() => (i, kept) = (i + 1, false),
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
                kept = false;
            }
            '/' if at(i + 1) == '*' => (i, kept) = (after_comment(&chars, i), false),
            '"' => i = after_string(&chars, i),
            // A lifetime ends before a quote that a character literal would have.
            '\'' if at(i + 1) != '\\' && at(i + 2) != '\'' => i += 1,
            '\'' => {
                i += if at(i + 1) == '\\' { 3 } else { 2 };
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            _ if is_word(first) => {
                while is_word(at(i)) {
                    i += 1;
                }
                let word: String = chars[begin..i].iter().collect();
                let raw = matches!(word.as_str(), "r" | "br" | "cr");
                if raw && (at(i) == '"' || (at(i) == '#' && matches!(at(i + 1), '#' | '"'))) {
                    i = after_raw_string(&chars, i);
                } else if matches!(word.as_str(), "b" | "c") && at(i) == '"' {
                    i = after_string(&chars, i);
                }
            }
            ':' if at(i + 1) == ':' => i += 2,
            _ => i += 1,
        }
        let text: String = chars[begin..i.min(chars.len())].iter().collect();
        if kept {
            let string = text.ends_with('"') || text.ends_with("\"#");
            let text = if string { format!("\"{}", text.trim_matches('"')) } else { text.clone() };
            out.push(Token { text, line });
        }
        line += text.matches('\n').count();
    }
    out
}

/// Block comments nest.
fn after_comment(chars: &[char], mut i: usize) -> usize {
    let mut depth = 0;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (i, depth) = (i + 2, depth + 1),
            ('*', Some('/')) => (i, depth) = (i + 2, depth - 1),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn after_string(chars: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// `i` is behind the `r`.
fn after_raw_string(chars: &[char], mut i: usize) -> usize {
    let begin = i;
    while chars.get(i) == Some(&'#') {
        i += 1;
    }
    let hashes = i - begin;
    i += 1;
    while i < chars.len() {
        let closed = (1..=hashes).all(|k| chars.get(i + k) == Some(&'#'));
        if chars[i] == '"' && closed {
            return i + 1 + hashes;
        }
        i += 1;
    }
    i
}
