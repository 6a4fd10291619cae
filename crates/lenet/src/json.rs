//! JSON as models need it: `config.json`, and the header of a safetensors file.
//!
//! Programs that only predict read models too, and shall not need a dozen packages for that.

use std::fmt::{self, Write};

/// Deepest nesting of lists and objects.
const DEEPEST: usize = 100;

/// A value. Numbers stay text until it is known what they count; an object keeps the order of its keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Why a text is not the JSON that it should be, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError(pub(crate) String);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonError {}

impl Json {
    /// Reads a text that holds one value.
    pub fn parse(text: &[u8]) -> Result<Json, JsonError> {
        let text = std::str::from_utf8(text).map_err(|e| JsonError(format!("is no UTF-8 text: {e}")))?;
        let mut parser = Parser { text, at: 0 };
        let read = parser.value(0).and_then(|value| {
            parser.space();
            if parser.at < text.len() { Err("more behind the value") } else { Ok(value) }
        });
        read.map_err(|what| {
            let before = &text.as_bytes()[..parser.at.min(text.len())];
            let line = before.iter().filter(|b| **b == b'\n').count() + 1;
            let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
            JsonError(format!("{what} at line {line}, column {column}"))
        })
    }

    /// An object's value of a key.
    pub fn get(&self, key: &str) -> Option<&Json> {
        let Json::Object(fields) = self else { return None };
        fields.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// An object's value of a key that it must have.
    pub fn need(&self, key: &str) -> Result<&Json, JsonError> {
        self.get(key).ok_or_else(|| JsonError(format!("{key:?} is missing")))
    }

    /// Whether this is an object that has none but these keys.
    pub fn only(&self, known: &[&str]) -> Result<(), JsonError> {
        let Json::Object(fields) = self else { return Err(JsonError("must be an object".into())) };
        match fields.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => Err(JsonError(format!("unknown key {key:?} (known: {})", known.join(", ")))),
            None => Ok(()),
        }
    }

    /// A number as Rust reads it: whole numbers by the range of `T`, floats rounded once.
    pub fn number<T: std::str::FromStr>(&self) -> Result<T, JsonError> {
        let Json::Number(text) = self else { return Err(JsonError("must be a number".into())) };
        text.parse().map_err(|_| JsonError(format!("cannot be {text}")))
    }

    /// A float that is finite once it is rounded.
    pub fn finite(&self) -> Result<f32, JsonError> {
        self.number().and_then(|x: f32| if x.is_finite() { Ok(x) } else { Err(JsonError("is too large".into())) })
    }

    pub fn bool(&self) -> Result<bool, JsonError> {
        if let Json::Bool(b) = self { Ok(*b) } else { Err(JsonError("must be true or false".into())) }
    }

    pub fn text(&self) -> Result<&str, JsonError> {
        if let Json::Text(s) = self { Ok(s) } else { Err(JsonError("must be a text".into())) }
    }

    pub fn list(&self) -> Result<&[Json], JsonError> {
        if let Json::List(items) = self { Ok(items) } else { Err(JsonError("must be a list".into())) }
    }

    /// A list, each item read by `read`.
    pub fn list_of<T>(&self, read: impl Fn(&Json) -> Result<T, JsonError>) -> Result<Vec<T>, JsonError> {
        self.list()?.iter().enumerate().map(|(i, item)| read(item).map_err(|e| e.within(&i.to_string()))).collect()
    }

    /// A list of `N` numbers.
    pub fn numbers<T: std::str::FromStr, const N: usize>(&self) -> Result<[T; N], JsonError> {
        let all = self.list_of(Json::number)?;
        all.try_into().map_err(|all: Vec<T>| JsonError(format!("must be {N} numbers, not {}", all.len())))
    }

    /// The value of a key that must be there, by `read`.
    pub fn field<'a, T>(
        &'a self,
        key: &str,
        read: impl FnOnce(&'a Json) -> Result<T, JsonError>,
    ) -> Result<T, JsonError> {
        read(self.need(key)?).map_err(|e| e.within(key))
    }

    /// The value of a key by `read`, or what stands for it.
    pub fn field_or<'a, T>(
        &'a self,
        key: &str,
        default: T,
        read: impl FnOnce(&'a Json) -> Result<T, JsonError>,
    ) -> Result<T, JsonError> {
        self.get(key).map_or(Ok(default), |value| read(value).map_err(|e| e.within(key)))
    }
}

impl JsonError {
    /// The same, within a key or place.
    pub fn within(self, place: &str) -> JsonError {
        JsonError(format!("{place}: {}", self.0))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Passes over a byte if it is next.
    fn passes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self, depth: usize) -> Result<Json, &'static str> {
        if depth > DEEPEST {
            return Err("nested too deeply");
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.items(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                let words = [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))];
                let found = words.into_iter().find(|(word, _)| self.text[self.at..].starts_with(word));
                let (word, value) = found.ok_or("no value")?;
                self.at += word.len();
                Ok(value)
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, &'static str> {
        let mut fields: Vec<(String, Json)> = Vec::new();
        self.at += 1;
        self.space();
        if self.passes(b'}') {
            return Ok(Json::Object(fields));
        }
        loop {
            self.space();
            let key = self.string()?;
            self.space();
            if !self.passes(b':') {
                return Err("no ':' behind a key");
            }
            fields.push((key, self.value(depth + 1)?));
            self.space();
            if self.passes(b'}') {
                break;
            }
            if !self.passes(b',') {
                return Err("neither ',' nor '}' behind a value");
            }
        }
        let mut keys: Vec<&str> = fields.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("an object ends that has a key twice");
        }
        Ok(Json::Object(fields))
    }

    fn items(&mut self, depth: usize) -> Result<Json, &'static str> {
        let mut items = Vec::new();
        self.at += 1;
        self.space();
        if self.passes(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            if self.passes(b']') {
                return Ok(Json::List(items));
            }
            if !self.passes(b',') {
                return Err("neither ',' nor ']' behind an item");
            }
        }
    }

    fn number(&mut self) -> Result<Json, &'static str> {
        let start = self.at;
        self.passes(b'-');
        if !self.passes(b'0') && !self.digits() {
            return Err("no digit where a number begins");
        }
        if self.passes(b'.') && !self.digits() {
            return Err("no digit behind a point");
        }
        if self.passes(b'e') || self.passes(b'E') {
            let _ = self.passes(b'-') || self.passes(b'+');
            if !self.digits() {
                return Err("no digit in an exponent");
            }
        }
        Ok(Json::Number(self.text[start..self.at].to_string()))
    }

    fn digits(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        self.at > start
    }

    fn string(&mut self) -> Result<String, &'static str> {
        if !self.passes(b'"') {
            return Err("no text in quotes");
        }
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(['"', '\\']).ok_or("a text without an end")?;
            if rest[..plain].bytes().any(|b| b < 0x20) {
                return Err("a control character in a text");
            }
            out.push_str(&rest[..plain]);
            self.at += plain + 1;
            if rest.as_bytes()[plain] == b'"' {
                return Ok(out);
            }
            out.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, &'static str> {
        let byte = self.peek().ok_or("a text without an end")?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.hex()?;
                let mut code = high;
                if (0xd800..0xdc00).contains(&high) {
                    if !(self.passes(b'\\') && self.passes(b'u')) {
                        return Err("half a character in a text");
                    }
                    let low = self.hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400);
                    code = 0x10000 + ((high - 0xd800) << 10) + low.ok_or("half a character in a text")?;
                }
                char::from_u32(code).ok_or("half a character in a text")?
            }
            _ => return Err("an unknown escape in a text"),
        })
    }

    fn hex(&mut self) -> Result<u32, &'static str> {
        let digits = self.text.get(self.at..self.at + 4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|d| u32::from_str_radix(d, 16).ok()).ok_or("no four hexadecimal digits")?;
        self.at += 4;
        Ok(code)
    }
}

/// Compact, or indented by two spaces a level (`{:#}`).
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = f.alternate().then_some(0);
        self.write(f, indent)
    }
}

impl Json {
    fn write(&self, f: &mut fmt::Formatter<'_>, indent: Option<usize>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, deeper: usize| match indent {
            Some(indent) => write!(f, "\n{:1$}", "", indent + deeper),
            None => Ok(()),
        };
        let inner = indent.map(|i| i + 2);
        match self {
            Json::Null => f.write_str("null"),
            Json::Bool(b) => write!(f, "{b}"),
            Json::Number(text) => f.write_str(text),
            Json::Text(text) => quote(text, f),
            Json::List(items) if items.is_empty() => f.write_str("[]"),
            Json::Object(fields) if fields.is_empty() => f.write_str("{}"),
            Json::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    f.write_char(if i == 0 { '[' } else { ',' })?;
                    line(f, 2)?;
                    item.write(f, inner)?;
                }
                line(f, 0)?;
                f.write_char(']')
            }
            Json::Object(fields) => {
                for (i, (key, value)) in fields.iter().enumerate() {
                    f.write_char(if i == 0 { '{' } else { ',' })?;
                    line(f, 2)?;
                    quote(key, f)?;
                    f.write_str(if indent.is_some() { ": " } else { ":" })?;
                    value.write(f, inner)?;
                }
                line(f, 0)?;
                f.write_char('}')
            }
        }
    }
}

fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if u32::from(c) < 0x20 => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

macro_rules! from_numbers {
    ($($number:ty),*) => {
        $(impl From<$number> for Json {
            /// `{:?}` is the shortest text that reads back as the same number.
            fn from(number: $number) -> Self {
                Json::Number(format!("{number:?}"))
            }
        })*
    };
}

from_numbers!(u32, u64, usize, f32, f64);

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::Text(text.to_string())
    }
}

impl<T: Clone + Into<Json>> From<&[T]> for Json {
    fn from(items: &[T]) -> Self {
        Json::List(items.iter().cloned().map(Into::into).collect())
    }
}

/// An object of these fields.
pub(crate) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
    Json::Object(fields.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
}

#[cfg(all(test, feature = "train"))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn same(json: &Json, value: &Value) -> bool {
        match (json, value) {
            (Json::Null, Value::Null) => true,
            (Json::Bool(a), Value::Bool(b)) => a == b,
            (Json::Number(a), Value::Number(b)) => a.parse::<f64>().ok() == b.as_f64(),
            (Json::Text(a), Value::String(b)) => a == b,
            (Json::List(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Json::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
            }
            _ => false,
        }
    }

    /// Texts that are JSON or nearly so: well-formed ones with a few bytes exchanged.
    fn texts() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_string()),
            Just("true".to_string()),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_filter("JSON has no infinity", |x| x.is_finite()).prop_map(|x| format!("{x:e}")),
            "\\PC{0,6}".prop_map(|s| serde_json::to_string(&s).unwrap()),
            Just(r#""\u00e4\ud83d\ude00\n""#.to_string()),
            Just(r#""\ud83d""#.to_string()),
            Just("01".to_string()),
            Just("1.".to_string()),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|v| format!("[ {} ]", v.join(" , "))),
                prop::collection::vec(("[a-c]", inner), 0..3).prop_map(|v| {
                    let fields: Vec<_> = v.into_iter().map(|(k, v)| format!("\"{k}\" : {v}")).collect();
                    format!("{{{}}}", fields.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(text in texts(), at in any::<prop::sample::Index>(), byte in "[\\[\\]{},:\"0 ]?") {
            let mut damaged = text.clone();
            let places: Vec<usize> = text.char_indices().map(|(i, _)| i).collect();
            damaged.insert_str(places[at.index(places.len())], &byte);
            for text in [text, damaged] {
                let (ours, theirs) = (Json::parse(text.as_bytes()), serde_json::from_str::<Value>(&text));
                match (&ours, &theirs) {
                    (Ok(ours), Ok(theirs)) => {
                        prop_assert!(same(ours, theirs), "{text}");
                        for written in [ours.to_string(), format!("{ours:#}")] {
                            prop_assert_eq!(&serde_json::from_str::<Value>(&written).unwrap(), theirs);
                        }
                    }
                    (Err(e), Ok(_)) => prop_assert!(e.0.contains("a key twice"), "{text}: {e}"),
                    // A float beyond f64's range is not refused before it is asked for.
                    (Ok(_), Err(e)) => prop_assert!(e.to_string().contains("out of range"), "{text}: {e}"),
                    (Err(_), Err(_)) => {}
                }
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let error = |text: &str| Json::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error("{\n \"a\" 1}"), "no ':' behind a key at line 2, column 6");
        assert_eq!(error("[1, 2] 3"), "more behind the value at line 1, column 8");
        assert!(error(&"[".repeat(100_000)).starts_with("nested too deeply"));
        assert!(error("\"a\u{1}\"").starts_with("a control character"));
        let text = Json::Text("\"\\\n\r\t\u{1}ä".into()).to_string();
        assert_eq!(text, "\"\\\"\\\\\\n\\r\\t\\u0001ä\"");
    }
}
