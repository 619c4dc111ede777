//! Nodes whose inputs are all constants: shape arithmetic, and weights that are transposed, reshaped or scaled.

use super::node::{Handled, Node, Value, unsupported};
use super::picks::{self, Pick};
use super::tensor::{Constant, Data};

/// More numbers than the largest layer has are no real network's.
const MOST: usize = 1 << 28;

/// `Shape` and `Size` of a tensor with these sizes, one image.
pub(super) fn shape(node: &Node, dims: &[usize]) -> Handled<Constant> {
    if node.op == "Size" {
        return Ok(Constant::ints(vec![], vec![dims.iter().product::<usize>() as i64]));
    }
    let bound = |name: &str, default: usize| {
        let at = node.int(name, default as i64);
        (if at < 0 { at.saturating_add(dims.len() as i64) } else { at }).clamp(0, dims.len() as i64) as usize
    };
    let (start, end) = (bound("start", 0), bound("end", dims.len()));
    let sizes: Vec<i64> = dims[start.min(end)..end].iter().map(|&size| size as i64).collect();
    Ok(Constant::ints(vec![sizes.len()], sizes))
}

/// Computes a node. `fill` is its `value` attribute.
pub(super) fn fold(node: &Node, mut args: Vec<Value>, fill: Option<Constant>) -> Handled<Vec<Constant>> {
    let first = |args: &mut Vec<Value>| node.constant(args, 0)?.ok_or_else(|| node.broken("lacks its input"));
    let result = match node.op.as_str() {
        "Identity" | "Dropout" | "CastLike" => first(&mut args)?,
        "Cast" => cast(node, first(&mut args)?),
        "Shape" | "Size" => shape(node, &first(&mut args)?.dims)?,
        "ConstantOfShape" => {
            let dims = sizes(node, first(&mut args)?.as_ints())?;
            let count = volume(node, &dims)?;
            let data = match fill.map(|fill| fill.data) {
                Some(Data::Int(value)) => Data::Int(vec![value.first().copied().unwrap_or(0); count]),
                Some(Data::Float(value)) => Data::Float(vec![value.first().copied().unwrap_or(0.0); count]),
                None => Data::Float(vec![0.0; count]),
            };
            Constant { name: String::new(), dims, data }
        }
        "Range" => range(node, &mut args)?,
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
            let constant = first(&mut args)?;
            let dims = picks::regroup(node, &constant.dims, &args, None)?;
            Constant { dims, ..constant }
        }
        "Transpose" | "Expand" | "Slice" | "Gather" => {
            let constant = first(&mut args)?;
            let picked = picks::pick(node, &constant.dims, &args)?;
            pick(constant, picked)
        }
        "Concat" => concat(node, args)?,
        "Split" => {
            let constant = first(&mut args)?;
            let parts = picks::parts(node, &constant.dims, &args)?;
            return Ok(parts.into_iter().map(|part| pick(constant.clone(), part)).collect());
        }
        "ReduceProd" => match (first(&mut args)?, node.int("keepdims", 1)) {
            (Constant { data: Data::Int(data), dims, .. }, keep) if dims.len() <= 1 => {
                let product = data.iter().fold(1i64, |product, &x| product.saturating_mul(x));
                Constant::ints(if keep == 1 { vec![1; dims.len()] } else { vec![] }, vec![product])
            }
            _ => return unsupported("of constants"),
        },
        "Abs" | "Neg" | "Floor" | "Ceil" | "Sqrt" | "Reciprocal" | "Exp" | "Not" | "Relu" | "Sigmoid" | "Tanh" => {
            unary(node, first(&mut args)?)?
        }
        "Add" | "Sub" | "Mul" | "Div" | "Mod" | "Pow" | "Max" | "Min" | "Sum" | "Equal" | "Less" | "Greater" | "And" | "Or" => {
            let mut result = first(&mut args)?;
            for index in 1..args.len() {
                let next = node.constant(&mut args, index)?.ok_or_else(|| node.broken("lacks an input"))?;
                result = binary(node, result, next)?;
            }
            result
        }
        "Where" => choose(node, &mut args)?,
        _ => return unsupported("of constants"),
    };
    Ok(vec![result])
}

/// Picks elements of a constant.
pub(super) fn pick(constant: Constant, pick: Pick) -> Constant {
    let at = pick.elements(&constant.dims);
    let data = match constant.data {
        Data::Int(data) => Data::Int(at.map(|at| data[at]).collect()),
        Data::Float(data) => Data::Float(at.map(|at| data[at]).collect()),
    };
    Constant { name: constant.name, dims: pick.dims(), data }
}

/// Sizes that are numbers of the graph.
pub(super) fn sizes(node: &Node, ints: Option<&[i64]>) -> Handled<Vec<usize>> {
    ints.ok_or_else(|| node.broken("needs integers as sizes"))?.iter().map(|&size| node.size(size)).collect()
}

/// How many elements a tensor has; an error where that is absurd.
pub(super) fn volume(node: &Node, dims: &[usize]) -> Handled<usize> {
    let count = dims.iter().try_fold(1usize, |count, &size| count.checked_mul(size)).filter(|&count| count <= MOST);
    count.ok_or_else(|| node.broken(format!("makes a tensor of {dims:?}")))
}

fn cast(node: &Node, constant: Constant) -> Constant {
    let Constant { name, dims, data } = constant;
    let data = match (node.int("to", 1), data) {
        (1 | 10 | 11 | 16, data) => Data::Float(Constant { name: String::new(), dims: vec![], data }.into_floats()),
        (9, Data::Int(data)) => Data::Int(data.iter().map(|&x| (x != 0).into()).collect()),
        (9, Data::Float(data)) => Data::Int(data.iter().map(|&x| (x != 0.0).into()).collect()),
        (_, Data::Float(data)) => Data::Int(data.iter().map(|&x| x as i64).collect()),
        (_, ints) => ints,
    };
    Constant { name, dims, data }
}

fn range(node: &Node, args: &mut [Value]) -> Handled<Constant> {
    let mut number = |index| match node.constant(args, index)? {
        Some(Constant { data: Data::Int(data), .. }) if data.len() == 1 => Ok(data[0]),
        _ => unsupported("of floats"),
    };
    let (start, limit, step) = (number(0)?, number(1)?, number(2)?);
    let span = if step > 0 { i128::from(limit) - i128::from(start) } else { i128::from(start) - i128::from(limit) };
    if step == 0 || span / i128::from(step.unsigned_abs()) > MOST as i128 {
        return Err(node.broken(format!("counts from {start} to {limit} by {step}")));
    }
    let numbers =
        std::iter::successors(Some(start), |x| x.checked_add(step)).take_while(|x| if step > 0 { *x < limit } else { *x > limit });
    let numbers: Vec<i64> = numbers.collect();
    Ok(Constant::ints(vec![numbers.len()], numbers))
}

fn concat(node: &Node, mut args: Vec<Value>) -> Handled<Constant> {
    let mut parts = Vec::with_capacity(args.len());
    for index in 0..args.len() {
        parts.push(node.constant(&mut args, index)?.ok_or_else(|| node.broken("lacks an input"))?);
    }
    let first = parts.first().map(|part| part.dims.clone()).ok_or_else(|| node.broken("has no input"))?;
    let axis = node.axis(node.int("axis", 1), first.len())?;
    let same = |part: &Constant| part.dims.len() == first.len() && (0..first.len()).all(|i| i == axis || part.dims[i] == first[i]);
    if !parts.iter().all(same) {
        return Err(node.broken("joins tensors of different sizes"));
    }
    let mut dims = first;
    dims[axis] = parts.iter().map(|part| part.dims[axis]).sum();
    let count = volume(node, &dims)?;
    let rows: usize = dims[..axis].iter().product();
    let whole = parts.iter().all(|part| part.as_ints().is_some());
    fn join<T: Copy>(parts: &[Vec<T>], rows: usize, count: usize) -> Vec<T> {
        let mut joined = Vec::with_capacity(count);
        for row in 0..rows {
            for part in parts {
                let width = part.len() / rows;
                joined.extend_from_slice(&part[row * width..(row + 1) * width]);
            }
        }
        joined
    }
    let data = match whole {
        true => Data::Int(join(&parts.into_iter().filter_map(|part| part.as_ints().map(<[i64]>::to_vec)).collect::<Vec<_>>(), rows, count)),
        false => Data::Float(join(&parts.into_iter().map(Constant::into_floats).collect::<Vec<_>>(), rows, count)),
    };
    Ok(Constant { name: String::new(), dims, data })
}

fn unary(node: &Node, constant: Constant) -> Handled<Constant> {
    let Constant { name, dims, data } = constant;
    let data = match (node.op.as_str(), data) {
        ("Not", Data::Int(data)) => Data::Int(data.iter().map(|&x| (x == 0).into()).collect()),
        ("Neg", Data::Int(data)) => Data::Int(data.iter().map(|&x| x.wrapping_neg()).collect()),
        ("Abs", Data::Int(data)) => Data::Int(data.iter().map(|&x| x.wrapping_abs()).collect()),
        ("Floor" | "Ceil", Data::Int(data)) => Data::Int(data),
        (op, data) => {
            let compute: fn(f32) -> f32 = match op {
                "Neg" => |x| -x,
                "Abs" => f32::abs,
                "Floor" => f32::floor,
                "Ceil" => f32::ceil,
                "Sqrt" => f32::sqrt,
                "Exp" => f32::exp,
                "Reciprocal" => f32::recip,
                "Relu" => |x| x.max(0.0),
                "Tanh" => f32::tanh,
                "Sigmoid" => |x| 1.0 / (1.0 + (-x).exp()),
                _ => return unsupported("of constants"),
            };
            Data::Float(Constant { name: String::new(), dims: vec![], data }.into_floats().into_iter().map(compute).collect())
        }
    };
    Ok(Constant { name, dims, data })
}

fn binary(node: &Node, a: Constant, b: Constant) -> Handled<Constant> {
    let dims = picks::broadcast(&a.dims, &b.dims).ok_or_else(|| node.broken(format!("combines {:?} and {:?}", a.dims, b.dims)))?;
    volume(node, &dims)?;
    let name = if a.name.is_empty() { b.name.clone() } else { a.name.clone() };
    let (a, b) = (spread(a, &dims), spread(b, &dims));
    let data = match (a.data, b.data) {
        (Data::Int(a), Data::Int(b)) => {
            let compute: fn(i64, i64) -> Option<i64> = match node.op.as_str() {
                "Add" | "Sum" => i64::checked_add,
                "Sub" => i64::checked_sub,
                "Mul" => i64::checked_mul,
                "Div" => i64::checked_div,
                "Mod" => |a, b| if b == 0 { None } else { a.checked_rem_euclid(b).map(|r| if b < 0 && r != 0 { r + b } else { r }) },
                "Pow" => |a, b| u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
                "Max" => |a, b| Some(a.max(b)),
                "Min" => |a, b| Some(a.min(b)),
                "Equal" => |a, b| Some((a == b).into()),
                "Less" => |a, b| Some((a < b).into()),
                "Greater" => |a, b| Some((a > b).into()),
                "And" => |a, b| Some((a != 0 && b != 0).into()),
                _ => |a, b| Some((a != 0 || b != 0).into()),
            };
            let computed: Option<Vec<i64>> = a.into_iter().zip(b).map(|(a, b)| compute(a, b)).collect();
            Data::Int(computed.ok_or_else(|| node.broken("overflows or divides by zero"))?)
        }
        (a, b) => {
            let compute: fn(f32, f32) -> f32 = match node.op.as_str() {
                "Add" | "Sum" => |a, b| a + b,
                "Sub" => |a, b| a - b,
                "Mul" => |a, b| a * b,
                "Div" => |a, b| a / b,
                "Pow" => f32::powf,
                "Max" => f32::max,
                "Min" => f32::min,
                _ => return unsupported("of constants"),
            };
            let floats = |data| Constant { name: String::new(), dims: vec![], data }.into_floats();
            Data::Float(floats(a).into_iter().zip(floats(b)).map(|(a, b)| compute(a, b)).collect())
        }
    };
    Ok(Constant { name, dims, data })
}

fn choose(node: &Node, args: &mut [Value]) -> Handled<Constant> {
    let mut next = |index| node.constant(args, index)?.ok_or_else(|| node.broken("lacks an input"));
    let (condition, yes, no) = (next(0)?, next(1)?, next(2)?);
    let dims = picks::broadcast(&condition.dims, &yes.dims).and_then(|dims| picks::broadcast(&dims, &no.dims));
    let dims = dims.ok_or_else(|| node.broken("combines tensors of different sizes"))?;
    volume(node, &dims)?;
    let (condition, yes, no) = (spread(condition, &dims), spread(yes, &dims), spread(no, &dims));
    let Data::Int(condition) = condition.data else { return Err(node.broken("needs truth values")) };
    fn select<T>(condition: &[i64], yes: Vec<T>, no: Vec<T>) -> Vec<T> {
        condition.iter().zip(yes.into_iter().zip(no)).map(|(&c, (yes, no))| if c != 0 { yes } else { no }).collect()
    }
    let data = match (yes.data, no.data) {
        (Data::Int(yes), Data::Int(no)) => Data::Int(select(&condition, yes, no)),
        (Data::Float(yes), Data::Float(no)) => Data::Float(select(&condition, yes, no)),
        _ => return Err(node.broken("combines floats and integers")),
    };
    Ok(Constant { name: String::new(), dims, data })
}

/// Repeats a constant along its axes of size 1.
pub(super) fn spread(constant: Constant, dims: &[usize]) -> Constant {
    if constant.dims == dims {
        constant
    } else {
        let spread = Pick::spread(&constant.dims, dims);
        pick(constant, spread)
    }
}
