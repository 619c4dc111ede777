//! A walk over a YAML value that knows where it is.

use super::SpecError;
use super::lines::line_of;
use serde_yaml::Value;
use std::collections::BTreeMap;

/// A value with its path, for errors.
#[derive(Clone)]
pub(super) struct Node<'a> {
    text: &'a str,
    value: &'a Value,
    path: Vec<String>,
}

/// A mapping whose fields are all known.
pub(super) struct Fields<'a> {
    node: Node<'a>,
}

impl<'a> Node<'a> {
    pub(super) fn root(text: &'a str, value: &'a Value) -> Node<'a> {
        Node { text, value, path: Vec::new() }
    }

    /// An error here: the message continues "`field` ...".
    pub(super) fn error(&self, message: impl Into<String>) -> SpecError {
        match self.path.is_empty() {
            true => SpecError::new("", format!("the document {}", message.into())),
            false => SpecError { line: line_of(self.text, &self.path), ..SpecError::new(&self.path.join("."), message) },
        }
    }

    fn expected(&self, what: &str) -> SpecError {
        self.error(format!("must be {what}, found {}", describe(self.value)))
    }

    fn child(&self, key: &str, value: &'a Value) -> Node<'a> {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        Node { text: self.text, value, path }
    }

    /// This node as a mapping of at most these fields.
    pub(super) fn fields(&self, known: &[&str]) -> Result<Fields<'a>, SpecError> {
        let map = self.value.as_mapping().ok_or_else(|| self.expected("a mapping of fields"))?;
        for (key, value) in map {
            let Some(key) = key.as_str() else { return Err(self.error(format!("has a field called {}, which is no text", describe(key)))) };
            if !known.contains(&key) {
                return Err(self.child(key, value).error("is not a field here").help(suggest(key, known)));
            }
        }
        Ok(Fields { node: self.clone() })
    }

    /// The one choice of a mapping with a single field, or a bare word.
    pub(super) fn choice(&self, what: &str, known: &[&str]) -> Result<(&'a str, Option<Node<'a>>), SpecError> {
        let (name, inner) = match self.value {
            Value::String(name) => (name.as_str(), None),
            Value::Mapping(map) if map.len() == 1 => match map.iter().next() {
                Some((Value::String(name), inner)) => (name.as_str(), Some(self.child(name, inner))),
                _ => return Err(self.expected(&format!("{what}: {}", known.join(" or ")))),
            },
            _ => return Err(self.expected(&format!("one {what}: {}", known.join(" or ")))),
        };
        match known.contains(&name) {
            true => Ok((name, inner)),
            false => Err(self.error(format!("has no {what} `{name}`")).help(suggest(name, known))),
        }
    }

    pub(super) fn text(&self) -> Result<&'a str, SpecError> {
        self.value.as_str().ok_or_else(|| self.expected("text"))
    }

    /// A mapping of texts to texts.
    pub(super) fn texts(&self) -> Result<BTreeMap<String, String>, SpecError> {
        let map = self.value.as_mapping().ok_or_else(|| self.expected("a mapping of names to names"))?;
        let text = |key: &Value, value| Some((key.as_str()?.to_owned(), Value::as_str(value)?.to_owned()));
        map.iter().map(|(key, value)| text(key, value).ok_or_else(|| self.expected("a mapping of names to names"))).collect()
    }

    pub(super) fn boolean(&self) -> Result<bool, SpecError> {
        self.value.as_bool().ok_or_else(|| self.expected("true or false"))
    }

    /// A whole number of at least `min`.
    pub(super) fn whole(&self, min: u64) -> Result<u64, SpecError> {
        match self.value.as_u64() {
            Some(number) if number >= min => Ok(number),
            _ => Err(self.expected(&format!("a whole number of at least {min}"))),
        }
    }

    pub(super) fn count(&self, min: u64) -> Result<usize, SpecError> {
        // Nothing that is counted here comes near the limit, and sums of counts must not overflow.
        self.whole(min).and_then(|number| match usize::try_from(number) {
            Ok(number) if number <= 1_000_000_000 => Ok(number),
            _ => Err(self.expected("a number below a billion")),
        })
    }

    /// A finite number that passes a test.
    pub(super) fn number(&self, what: &str, test: impl Fn(f64) -> bool) -> Result<f64, SpecError> {
        match self.value.as_f64() {
            Some(number) if number.is_finite() && test(number) => Ok(number),
            _ => Err(self.expected(&format!("a number {what}"))),
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.value.as_u64().is_some()
    }

    pub(super) fn list<T>(&self, what: &str, item: impl Fn(&Node<'a>) -> Result<T, SpecError>) -> Result<Vec<T>, SpecError> {
        let list = self.value.as_sequence().filter(|list| !list.is_empty()).ok_or_else(|| self.expected(&format!("a list of {what}")))?;
        list.iter().enumerate().map(|(index, value)| item(&self.child(&index.to_string(), value))).collect()
    }
}

impl<'a> Fields<'a> {
    /// The field, if it is there. An empty value counts as left out.
    pub(super) fn get(&self, key: &str) -> Option<Node<'a>> {
        let value = self.node.value.get(key).filter(|value| !value.is_null())?;
        Some(self.node.child(key, value))
    }

    /// The field, which must be there.
    pub(super) fn need(&self, key: &str, help: &str) -> Result<Node<'a>, SpecError> {
        self.get(key).ok_or_else(|| match self.node.path.is_empty() {
            true => SpecError::new("", format!("the field `{key}` is missing")).help(help),
            false => self.node.error(format!("lacks the field `{key}`")).help(help),
        })
    }

    /// A field's value, or a default.
    pub(super) fn or<T>(&self, key: &str, default: T, read: impl FnOnce(&Node<'a>) -> Result<T, SpecError>) -> Result<T, SpecError> {
        self.get(key).map_or(Ok(default), |node| read(&node))
    }

    /// Which of these fields is there; an error unless it is exactly one.
    pub(super) fn one_of(&self, keys: &[&'static str]) -> Result<(&'static str, Node<'a>), SpecError> {
        let mut found = keys.iter().filter_map(|&key| self.get(key).map(|node| (key, node)));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (Some((first, _)), Some((second, _))) => {
                Err(self.node.error(format!("has both `{first}` and `{second}`")).help("keep one of them"))
            }
            (None, _) => Err(self.node.error(format!("needs one of {}", list(keys)))),
        }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> SpecError {
        self.node.error(message)
    }
}

/// "did you mean `x`?", or what there is.
fn suggest(word: &str, known: &[&str]) -> String {
    let closest = known.iter().map(|&other| (strsim::damerau_levenshtein(word, other), other)).min();
    match closest {
        Some((distance, other)) if distance <= 1 + word.len() / 4 => format!("did you mean `{other}`?"),
        _ => format!("expected one of {}", list(known)),
    }
}

fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(value) => format!("{value}"),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("the text \"{}\"", text.chars().take(40).collect::<String>()),
        Value::Sequence(list) => format!("a list of {}", list.len()),
        Value::Mapping(_) => "a mapping of fields".into(),
        Value::Tagged(tagged) => format!("the tag {}", tagged.tag),
    }
}
