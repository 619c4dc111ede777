//! `pleach inspect`.

use super::{CliError, Output};
use crate::submit::{Opened, open};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use pleach_shared::checkpoint::Checkpoint;
use pleach_shared::network::{Axis, Group, Groups, LayerId, Network, Op};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Look inside a network: layers, shapes, costs, channel groups and why one cannot be pruned.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  pleach inspect zoo:resnet50 --classes 10
  pleach inspect model.onnx --dot | dot -Tsvg > model.svg
  pleach inspect experiments/quickstart.yaml      its network, and how a checkpoint's names were matched
  pleach inspect checkpoint.pth                   the tensors of a file of weights")]
pub(super) struct InspectArgs {
    /// A document, an ONNX file, a model or checkpoint (safetensors, .pt, .pth, .th), or zoo:NAME.
    file: String,
    /// Input as CHANNELS,HEIGHT,WIDTH where the file leaves it open.
    #[arg(long, value_delimiter = ',', num_args = 3)]
    input: Option<Vec<usize>>,
    /// Classes, for zoo:NAME.
    #[arg(long)]
    classes: Option<usize>,
    /// Width multiplier, for zoo:NAME.
    #[arg(long)]
    width: Option<f64>,
    /// Print the graph for Graphviz instead.
    #[arg(long, conflicts_with = "output")]
    dot: bool,
    /// What to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn inspect(args: &InspectArgs) -> Result<(), CliError> {
    let input = args.input.as_deref().and_then(|input| <[usize; 3]>::try_from(input).ok());
    let (network, matches) = match args.file.strip_prefix("zoo:") {
        Some(name) => (crate::submit::zoo(name, input, args.classes, args.width)?, Value::Null),
        None => match open(&PathBuf::from(&args.file), input)? {
            Opened::Network { network, matches } => {
                let found =
                    matches.iter().map(|found| json!({ "parameter": found.parameter, "tensor": found.tensor, "rule": found.rule.name() }));
                (network, found.collect())
            }
            Opened::Checkpoint(checkpoint) => return tensors(&checkpoint, args),
        },
    };
    let failed = |error: &dyn std::fmt::Display| CliError::usage(format!("{}: {error}", args.file));
    let groups = network.groups().map_err(|error| failed(&error))?;
    if args.dot {
        print!("{}", dot(&network, &groups).map_err(|error| failed(&error))?);
        return Ok(());
    }
    let mut document = describe(&network, &groups).map_err(|error| failed(&error))?;
    if args.output == Output::Json {
        if matches.as_array().is_some_and(|matches| !matches.is_empty()) {
            document["matches"] = matches;
        }
        println!("{}", serde_json::to_string_pretty(&document).map_err(|error| failed(&error))?);
        return Ok(());
    }
    print(&document);
    if let Value::Array(matches) = &matches
        && !matches.is_empty()
    {
        println!("\ntensors, and those of the checkpoint that they were taken from");
        for found in matches {
            println!("  {:<40} {:<40} {}", text(&found["parameter"]), text(&found["tensor"]), text(&found["rule"]));
        }
    }
    Ok(())
}

fn describe(network: &Network, groups: &Groups) -> Result<Value, pleach_shared::network::ShapeError> {
    let (shapes, costs) = (network.shapes()?, network.layer_costs()?);
    let total = network.cost()?;
    let layers: Vec<Value> = network
        .layers
        .iter()
        .zip(shapes.iter().zip(&costs))
        .map(|(layer, (shape, cost))| {
            let inputs: Vec<&str> = layer.inputs.iter().map(|&input| network.layers[input].name.as_str()).collect();
            json!({
                "name": layer.name, "op": layer.op.name(), "inputs": inputs, "output_shape": shape, "macs": cost.macs, "params": cost.params,
            })
        })
        .collect();
    let described: Vec<Value> = groups
        .all()
        .iter()
        .map(|group| {
            let members: Vec<Value> = group.members.iter().map(|member| json!({ "layer": member.layer, "axis": member.axis })).collect();
            json!({
                "name": group.name,
                "channels": channels(network, groups, group),
                "units": group.channels,
                "prunable": group.fixed.is_none(),
                "reason": group.fixed,
                "members": members,
            })
        })
        .collect();
    Ok(json!({ "macs": total.macs, "params": total.params, "layers": layers, "groups": described }))
}

/// Channels of the layer that a group is called after. Where grouped convolutions tie channels together, a unit is several.
fn channels(network: &Network, groups: &Groups, group: &Group) -> usize {
    network.find(&group.name).map_or(group.channels, |layer| groups.of_output(layer).len().max(group.channels))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn print(document: &Value) {
    let list = |key: &str| document[key].as_array().cloned().unwrap_or_default();
    let mut layers = Table::new();
    layers.load_style(presets::UTF8_FULL_CONDENSED).set_header(["layer", "op", "output", "MACs", "parameters"]);
    for layer in list("layers") {
        let shape: Vec<String> = layer["output_shape"].as_array().into_iter().flatten().map(Value::to_string).collect();
        let count = |key: &str| match layer[key].as_u64() {
            Some(0) | None => String::new(),
            Some(count) => count.to_string(),
        };
        layers.add_row([text(&layer["name"]).to_owned(), text(&layer["op"]).to_owned(), shape.join("x"), count("macs"), count("params")]);
    }
    let mut groups = Table::new();
    groups.load_style(presets::UTF8_FULL_CONDENSED).set_header(["channel group", "channels", "units", "prunable", "members"]);
    for group in list("groups") {
        let member = |member: &Value| format!("{}.{}", text(&member["layer"]), text(&member["axis"]));
        let members: Vec<String> = group["members"].as_array().into_iter().flatten().map(member).collect();
        let prunable = group["reason"].as_str().map_or_else(|| "yes".to_owned(), |reason| format!("no: {reason}"));
        let shown = match members.len() {
            0..=6 => members.join(" "),
            many => format!("{} and {} more", members[..5].join(" "), many - 5),
        };
        groups.add_row([text(&group["name"]).to_owned(), group["channels"].to_string(), group["units"].to_string(), prunable, shown]);
    }
    for (table, columns) in [(&mut layers, 3..5), (&mut groups, 1..3)] {
        for column in columns {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    println!("{layers}\n\n{groups}\n\n{} MACs, {} parameters", document["macs"], document["params"]);
}

fn dtype(checkpoint: &Checkpoint, name: &str) -> &'static str {
    checkpoint.dtypes.get(name).map_or("f32", |dtype| dtype.name())
}

/// What a file of weights holds.
fn tensors(checkpoint: &Checkpoint, args: &InspectArgs) -> Result<(), CliError> {
    if args.dot {
        return Err(CliError::usage(format!("{} holds tensors and no graph", args.file))
            .help("give a document that names it as `model.checkpoint`"));
    }
    if args.output == Output::Json {
        let tensors: Vec<Value> = checkpoint
            .tensors
            .iter()
            .map(|(name, tensor)| json!({ "name": name, "shape": tensor.shape, "dtype": dtype(checkpoint, name) }))
            .collect();
        let document = json!({ "format": checkpoint.format.to_string(), "path": checkpoint.path, "tensors": tensors });
        println!("{}", serde_json::to_string_pretty(&document).map_err(|error| CliError::failed(error.to_string()))?);
        return Ok(());
    }
    println!("{}{}", checkpoint.format, if checkpoint.path.is_empty() { String::new() } else { format!(", in `{}`", checkpoint.path) });
    for (name, tensor) in &checkpoint.tensors {
        println!("  {name:<50} {:<8} {:?}", dtype(checkpoint, name), tensor.shape);
    }
    Ok(())
}

/// The graph for Graphviz; layers of one channel group have one colour.
fn dot(network: &Network, groups: &Groups) -> Result<String, pleach_shared::network::ShapeError> {
    let shapes = network.shapes()?;
    let mut text = String::from("digraph network {\n  rankdir=TB;\n  node [shape=box, style=filled, fontname=\"sans-serif\"];\n");
    let colour = |id: LayerId| {
        let group = groups.of_output(id).first().map_or(0, |&(group, _)| group);
        // Hues a golden angle apart stay apart, however many there are.
        format!("{:.3} 0.25 1.0", (group as f64 * 0.618_034).fract())
    };
    for (id, layer) in network.layers.iter().enumerate() {
        let shape: Vec<String> = shapes[id].iter().map(ToString::to_string).collect();
        let kernel = if let Op::Conv2d(conv) = &layer.op { format!(" {}x{}", conv.kernel[0], conv.kernel[1]) } else { String::new() };
        let label = format!("{}\\n{}{kernel}\\n{}", layer.name.replace('"', "'"), layer.op.name(), shape.join("x"));
        let _ = writeln!(text, "  n{id} [label=\"{label}\", fillcolor=\"{}\"];", colour(id));
        for input in &layer.inputs {
            let _ = writeln!(text, "  n{input} -> n{id};");
        }
    }
    for group in groups.all() {
        let member = |axis| if axis == Axis::Out { "out" } else { "in" };
        let members: Vec<String> = group.members.iter().map(|m| format!("{}.{}", m.layer, member(m.axis))).collect();
        let _ = writeln!(text, "  // {}: {}", group.name, members.join(" "));
    }
    text.push_str("}\n");
    Ok(text)
}
