//! Which line of the text a field is on. `serde_yaml` tells places only of broken YAML, not of values.

/// The line (from 1) of the field with this path; of its nearest ancestor where it cannot be told. List items are numbers.
pub(super) fn line_of(text: &str, path: &[String]) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    // Half-open range of lines to look in, the column to look from on the first, and the line found last.
    let (mut start, mut end, mut column, mut found) = (0, lines.len(), 0, None);
    for key in path {
        if key.parse::<usize>().is_ok() {
            continue;
        }
        let hit = (start..end).find_map(|index| {
            let from = if index == start { column } else { 0 };
            lines[index].get(from..).and_then(|rest| key_at(rest, key)).map(|at| (index, from + at))
        });
        let Some((line, at)) = hit else { break };
        found = Some(line + 1);
        let indent = indentation(lines[line]);
        let block = (line + 1..end).find(|&index| !is_blank(lines[index]) && indentation(lines[index]) <= indent);
        (start, end, column) = (line, block.unwrap_or(end), at + key.len());
    }
    found
}

/// Where a line has `key:` as a key: at its start, or after `{` or `,` of a flow mapping.
fn key_at(line: &str, key: &str) -> Option<usize> {
    let code = line.split(" #").next().unwrap_or(line);
    code.match_indices(key).map(|(at, _)| at).find(|&at| {
        let before = code[..at].trim_end_matches(['"', '\'']).trim_end();
        let after = code[at + key.len()..].trim_start_matches(['"', '\'']).trim_start();
        (before.is_empty() || before.ends_with(['{', ',', '-'])) && after.starts_with(':')
    })
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn is_blank(line: &str) -> bool {
    let code = line.trim_start();
    code.is_empty() || code.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn block_and_flow_fields_are_found_below_their_own_parents() {
        let text = "a:\n  lr: 1 # x:\n# b:\nb:\n  c: {d: 1, lr: 2}\n  lr: 3\n";
        let line = |path: &str| line_of(text, &path.split('.').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(line("a.lr"), Some(2));
        assert_eq!(line("b"), Some(4));
        assert_eq!(line("b.c.lr"), Some(5));
        assert_eq!(line("b.lr"), Some(5), "a flow mapping on the way hides it: near enough");
        assert_eq!(line("b.nothing"), Some(4));
        assert_eq!(line("z"), None);
    }
}
