//! Errors with a place and a remedy.

use std::fmt;

/// A document that says something impossible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    /// What is wrong.
    pub message: String,
    /// Line, from 1.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// Dotted path, such as `search.netadapt.step.initial`.
    pub field: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl SpecError {
    /// An error of a field.
    pub fn new(field: &str, message: impl Into<String>) -> SpecError {
        let field = (!field.is_empty()).then(|| field.to_owned());
        SpecError { message: message.into(), line: None, column: None, field, help: None }
    }

    /// With a remedy.
    pub fn help(mut self, help: impl Into<String>) -> SpecError {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, "line {line}, column {column}: ")?,
            (Some(line), None) => write!(f, "line {line}: ")?,
            _ => {}
        }
        match &self.field {
            Some(field) => write!(f, "`{field}` {}", self.message)?,
            None => f.write_str(&self.message)?,
        }
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SpecError {}
