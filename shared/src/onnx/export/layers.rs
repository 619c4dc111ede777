//! The nodes of each layer.

use super::writer::Attribute::{Float, Int, Ints};
use super::writer::{Attribute, Writer};
use crate::network::{Op, Pool2d};
use crate::onnx::import::adaptive;

/// Writes a layer that reads these values, the first of this shape; gives the name of its own value.
pub(super) fn write(writer: &mut Writer, name: &str, op: &Op, inputs: &[&str], shape: &[usize]) -> String {
    let x = inputs[0];
    let mut plain = |op: &str, attributes: Vec<(&str, Attribute)>| writer.node(op, name, inputs, attributes);
    match op {
        // An input is none of these, and dropout does nothing.
        Op::Input { .. } | Op::Dropout { .. } => return x.to_owned(),
        Op::Conv2d(conv) => {
            let attributes = vec![
                ("kernel_shape", pair(conv.kernel)),
                ("strides", pair(conv.stride)),
                ("pads", Ints([conv.padding, conv.padding].concat().into_iter().map(|pad| pad as i64).collect())),
                ("dilations", pair(conv.dilation)),
                ("group", Int(conv.groups as i64)),
            ];
            weighted(writer, "Conv", name, x, conv.bias, attributes);
        }
        Op::Linear { bias, .. } => weighted(writer, "Gemm", name, x, *bias, vec![("transB", Int(1))]),
        Op::BatchNorm2d { eps } => {
            let [weight, bias, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map(|suffix| format!("{name}.{suffix}"));
            writer.node("BatchNormalization", name, &[x, &weight, &bias, &mean, &variance], vec![("epsilon", Float(*eps))]);
        }
        Op::Relu => plain("Relu", vec![]),
        Op::Relu6 => clip(writer, name, x, 0.0, 6.0),
        Op::Clip { min, max } => clip(writer, name, x, *min, *max),
        Op::HardSwish => plain("HardSwish", vec![]),
        Op::Sigmoid => plain("Sigmoid", vec![]),
        Op::HardSigmoid { alpha, beta } => plain("HardSigmoid", vec![("alpha", Float(*alpha)), ("beta", Float(*beta))]),
        Op::Tanh => plain("Tanh", vec![]),
        Op::LeakyRelu { slope } => plain("LeakyRelu", vec![("alpha", Float(*slope))]),
        Op::Silu => {
            let gate = format!("{name}/sigmoid");
            writer.node("Sigmoid", &gate, &[x], vec![]);
            writer.node("Mul", name, &[x, &gate], vec![]);
        }
        Op::Gelu => gelu(writer, name, x),
        Op::Softmax => plain("Softmax", vec![("axis", Int(1))]),
        Op::MaxPool2d(max) => plain("MaxPool", pool(max)),
        Op::AvgPool2d(average) => {
            let include = ("count_include_pad", Int(average.count_include_pad.into()));
            plain("AveragePool", [pool(average), vec![include]].concat());
        }
        Op::AdaptiveAvgPool2d { size } => return adaptive_pool(writer, name, x, *size, shape),
        Op::GlobalAvgPool => plain("GlobalAveragePool", vec![]),
        Op::Add => plain(if inputs.len() == 2 { "Add" } else { "Sum" }, vec![]),
        Op::Mul => {
            let mut product = x.to_owned();
            for (index, factor) in inputs.iter().enumerate().skip(1) {
                let next = if index + 1 == inputs.len() { name.to_owned() } else { format!("{name}/{index}") };
                writer.node("Mul", &next, &[&product, factor], vec![]);
                product = next;
            }
        }
        Op::Concat => plain("Concat", vec![("axis", Int(1))]),
        Op::Select { channels } => select(writer, name, x, channels),
        Op::Pad { padding: [top, left, bottom, right] } => {
            let pads = [0, 0, *top, *left, 0, 0, *bottom, *right].map(|pad| pad as i64);
            let pads = writer.ints(format!("{name}/pads"), &pads);
            writer.node("Pad", name, &[x, &pads], vec![]);
        }
        Op::Flatten => plain("Flatten", vec![("axis", Int(1))]),
        Op::Shortcut { stride, sources } => shortcut(writer, name, x, *stride, sources, shape[0]),
    }
    name.to_owned()
}

fn pair(pair: [usize; 2]) -> Attribute {
    Ints(pair.iter().map(|&size| size as i64).collect())
}

fn weighted(writer: &mut Writer, op: &str, name: &str, x: &str, has_bias: bool, attributes: Vec<(&str, Attribute)>) {
    let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
    let inputs = if has_bias { vec![x, &weight, &bias] } else { vec![x, &weight] };
    writer.node(op, name, &inputs, attributes);
}

fn clip(writer: &mut Writer, name: &str, x: &str, min: f64, max: f64) {
    let (min, max) = (writer.float(format!("{name}/min"), min), writer.float(format!("{name}/max"), max));
    writer.node("Clip", name, &[x, &min, &max], vec![]);
}

fn pool(pool: &Pool2d) -> Vec<(&'static str, Attribute)> {
    let pads = [pool.padding, pool.padding].concat().into_iter().map(|pad| pad as i64).collect();
    vec![
        ("kernel_shape", pair(pool.kernel)),
        ("strides", pair(pool.stride)),
        ("pads", Ints(pads)),
        ("ceil_mode", Int(pool.ceil_mode.into())),
    ]
}

/// `x / 2 * (1 + erf(x / sqrt(2)))`: opset 17 has no operator for it.
fn gelu(writer: &mut Writer, name: &str, x: &str) {
    let step = |step: &str| format!("{name}/{step}");
    let root = writer.float(step("root"), std::f64::consts::SQRT_2);
    let one = writer.float(step("one"), 1.0);
    let half = writer.float(step("half"), 0.5);
    writer.node("Div", &step("scaled"), &[x, &root], vec![]);
    writer.node("Erf", &step("erf"), &[&step("scaled")], vec![]);
    writer.node("Add", &step("sum"), &[&step("erf"), &one], vec![]);
    writer.node("Mul", &step("product"), &[x, &step("sum")], vec![]);
    writer.node("Mul", name, &[&step("product"), &half], vec![]);
}

/// An average pooling where windows are equal. Otherwise a product with a matrix of means from each side.
fn adaptive_pool(writer: &mut Writer, name: &str, x: &str, size: [usize; 2], shape: &[usize]) -> String {
    let map = [shape[1], shape[2]];
    if size == map {
        return x.to_owned();
    }
    if (0..2).all(|axis| map[axis].is_multiple_of(size[axis])) {
        let window = [map[0] / size[0], map[1] / size[1]];
        writer.node("AveragePool", name, &[x], vec![("kernel_shape", pair(window)), ("strides", pair(window))]);
        return name.to_owned();
    }
    let (left, right) = (format!("{name}/rows"), format!("{name}/columns"));
    let columns = adaptive(map[1], size[1]);
    let turned: Vec<f32> = (0..map[1]).flat_map(|from| columns.iter().skip(from).step_by(map[1]).copied()).collect();
    let inner = format!("{name}/inner");
    match (size[0] == map[0], size[1] == map[1]) {
        (rows_stay, false) => {
            writer.floats(&right, &[map[1], size[1]], &turned);
            writer.node("MatMul", if rows_stay { name } else { &inner }, &[x, &right], vec![]);
            if !rows_stay {
                writer.floats(&left, &[size[0], map[0]], &adaptive(map[0], size[0]));
                writer.node("MatMul", name, &[&left, &inner], vec![]);
            }
        }
        (_, true) => {
            writer.floats(&left, &[size[0], map[0]], &adaptive(map[0], size[0]));
            writer.node("MatMul", name, &[&left, x], vec![]);
        }
    }
    name.to_owned()
}

/// A slice where the channels follow each other, as most do.
fn select(writer: &mut Writer, name: &str, x: &str, channels: &[usize]) {
    let first = channels[0];
    if channels.iter().enumerate().all(|(index, &channel)| channel == first + index) {
        slice(writer, name, x, &[first as i64], &[(first + channels.len()) as i64], &[1], &[1]);
    } else {
        let channels: Vec<i64> = channels.iter().map(|&channel| channel as i64).collect();
        gather(writer, name, x, &channels);
    }
}

fn gather(writer: &mut Writer, name: &str, x: &str, channels: &[i64]) {
    let channels = writer.ints(format!("{name}/channels"), channels);
    writer.node("Gather", name, &[x, &channels], vec![("axis", Int(1))]);
}

fn slice(writer: &mut Writer, name: &str, x: &str, starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64]) {
    let parts = [("starts", starts), ("ends", ends), ("axes", axes), ("steps", steps)];
    let [starts, ends, axes, steps] = parts.map(|(part, numbers)| writer.ints(format!("{name}/{part}"), numbers));
    writer.node("Slice", name, &[x, &starts, &ends, &axes, &steps], vec![]);
}

/// Every so many rows and columns; then the channels, with zeros from a pad.
fn shortcut(writer: &mut Writer, name: &str, x: &str, stride: usize, sources: &[Option<usize>], channels: usize) {
    let lead = sources.iter().take_while(|source| source.is_none()).count();
    let body = sources.get(lead..lead + channels).unwrap_or_default();
    let in_order = body.len() == channels && body.iter().enumerate().all(|(index, source)| *source == Some(index));
    let tail = sources.len().saturating_sub(lead + channels);
    let padded = in_order && sources[lead + channels..].iter().all(Option::is_none);
    let whole = padded && lead == 0 && tail == 0;
    let mut value = x.to_owned();
    if stride > 1 {
        value = if whole { name.to_owned() } else { format!("{name}/steps") };
        slice(writer, &value, x, &[0, 0], &[i64::MAX, i64::MAX], &[2, 3], &[stride as i64; 2]);
    }
    if whole {
        if stride == 1 {
            writer.node("Identity", name, &[x], vec![]);
        }
        return;
    }
    // Zeros in front and behind are a pad. Anywhere else they are picked from one channel of zeros behind the others.
    let any = sources.contains(&None);
    let (before, after) = if padded { (lead, tail) } else { (0, usize::from(any)) };
    let to = if padded { name.to_owned() } else { format!("{name}/zeros") };
    if before + after > 0 {
        let pads = writer.ints(format!("{to}/pads"), &[0, before as i64, 0, 0, 0, after as i64, 0, 0]);
        writer.node("Pad", &to, &[&value, &pads], vec![]);
        value = to;
    }
    if !padded {
        let channels: Vec<i64> = sources.iter().map(|source| source.unwrap_or(channels) as i64).collect();
        gather(writer, name, &value, &channels);
    }
}
