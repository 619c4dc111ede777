//! Rules and faults as people read them.

use super::{Fault, Rule};
use std::fmt;

impl Rule {
    /// One word for it.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Names => "names",
            Rule::Equal => "equal",
            Rule::Prefix => "prefix",
            Rule::Spelling => "spelling",
            Rule::Classifier => "classifier",
            Rule::Reshape => "reshape",
            Rule::Order => "order",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Fault {
    /// Its line in a listing.
    pub(super) fn cells(&self) -> Vec<String> {
        match self {
            Fault::Missing { parameter, nearest } => {
                let hint = nearest.as_ref().map(|name| format!("perhaps {name}")).unwrap_or_default();
                vec!["missing".into(), parameter.name.clone(), format!("{:?}", parameter.shape), hint]
            }
            Fault::Surplus { tensor, shape } => vec!["surplus".into(), tensor.clone(), format!("{shape:?}")],
            Fault::Misshapen { parameter, tensor, shape } => {
                let name = if *tensor == parameter.name { String::new() } else { format!(" as {tensor}") };
                let found = format!("the file has {shape:?}{name}");
                vec!["misshapen".into(), parameter.name.clone(), format!("{:?}", parameter.shape), found]
            }
            Fault::Names { key, reason } => vec!["names".into(), key.clone(), reason.clone()],
        }
    }
}

/// Lines of aligned cells, indented. The last cell of a line pads nothing.
pub(super) fn listing(rows: Vec<Vec<String>>) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| column + 1 < row.len()).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0)).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("  {cell:<width$}"));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
