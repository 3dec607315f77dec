//! The JSON of a header: objects, strings, and arrays of whole numbers.

use std::borrow::Cow;

/// Why a header is refused.
pub(crate) type Reason<T> = std::result::Result<T, String>;

/// Up to two numbers of an array, how many there are, and the product of all of them.
pub(crate) struct Numbers {
    pub(crate) count: usize,
    pub(crate) values: [u64; 2],
    /// None if it is not below 2^64.
    pub(crate) product: Option<u64>,
}

/// A position in JSON text.
pub(crate) struct Json<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: usize,
}

impl<'a> Json<'a> {
    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    pub(crate) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.step();
        }
    }

    /// Skips space and this byte.
    pub(crate) fn expect(&mut self, byte: u8) -> Reason<()> {
        self.space();
        if self.peek() != Some(byte) {
            return Err(format!("expected {:?}", char::from(byte)));
        }
        self.step();
        Ok(())
    }

    /// `open` item , item ... `close`
    fn list(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Reason<()>,
    ) -> Reason<()> {
        self.expect(open)?;
        self.space();
        if self.peek() == Some(close) {
            self.step();
            return Ok(());
        }
        loop {
            item(self)?;
            self.space();
            match self.peek() {
                Some(b',') => self.step(),
                Some(b) if b == close => {
                    self.step();
                    return Ok(());
                }
                _ => return Err(format!("expected , or {}", char::from(close))),
            }
        }
    }

    pub(crate) fn members(&mut self, member: impl FnMut(&mut Self) -> Reason<()>) -> Reason<()> {
        self.list(b'{', b'}', member)
    }

    pub(crate) fn numbers(&mut self) -> Reason<Numbers> {
        let mut found = Numbers { count: 0, values: [0; 2], product: Some(1) };
        self.each_number(|number| {
            if let Some(value) = found.values.get_mut(found.count) {
                *value = number;
            }
            found.count = found.count.saturating_add(1);
            found.product = found.product.and_then(|product| product.checked_mul(number));
        })?;
        Ok(found)
    }

    /// Calls `each` with the numbers of an array.
    pub(crate) fn each_number(&mut self, mut each: impl FnMut(u64)) -> Reason<()> {
        self.list(b'[', b']', |json| {
            each(json.number()?);
            Ok(())
        })
    }

    /// A whole number without sign, fraction, exponent or leading zeros.
    fn number(&mut self) -> Reason<u64> {
        self.space();
        let rest = self.rest();
        let n = rest.bytes().take_while(u8::is_ascii_digit).count();
        let digits = rest.get(..n).unwrap_or_default();
        if digits.len() > 1 && digits.starts_with('0') {
            return Err("a number with a leading zero".into());
        }
        let number = digits.parse().map_err(|_| "expected a whole number below 2^64")?;
        self.at = self.at.saturating_add(n);
        Ok(number)
    }

    /// A string, and whether it is free of escapes.
    pub(crate) fn string(&mut self) -> Reason<(Cow<'a, str>, bool)> {
        self.expect(b'"')?;
        let mut start = self.at;
        let mut decoded: Option<String> = None;
        loop {
            let part = self.text.get(start..self.at).unwrap_or_default();
            match self.peek() {
                None => return Err("a string without end".into()),
                Some(b'"') => {
                    self.step();
                    return Ok(match decoded {
                        None => (Cow::Borrowed(part), true),
                        Some(text) => (Cow::Owned(text + part), false),
                    });
                }
                Some(b'\\') => {
                    let text = decoded.get_or_insert_default();
                    text.push_str(part);
                    self.step();
                    let c = self.escape()?;
                    text.push(c);
                    start = self.at;
                }
                Some(0..0x20) => return Err("a control character in a string".into()),
                Some(_) => self.step(),
            }
        }
    }

    /// What comes after a backslash.
    fn escape(&mut self) -> Reason<char> {
        let byte = self.peek();
        self.step();
        Ok(match byte {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.unit()?;
                let second = if (0xd800..0xdc00).contains(&first) && self.rest().starts_with("\\u")
                {
                    self.at = self.at.saturating_add(2);
                    Some(self.unit()?)
                } else {
                    None
                };
                let mut decoded = char::decode_utf16([first].into_iter().chain(second));
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(c)), None) => c,
                    _ => return Err("half of a surrogate pair".into()),
                }
            }
            _ => return Err("an unknown escape".into()),
        })
    }

    /// Four hex digits.
    fn unit(&mut self) -> Reason<u16> {
        let digits = self.rest().get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let digits = digits.ok_or("expected four hex digits")?;
        self.at = self.at.saturating_add(4);
        u16::from_str_radix(digits, 16).map_err(|e| e.to_string())
    }
}

/// Appends a JSON string.
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
