//! From a YAML value to a [`Spec`], section by section.

use super::node::{Fields, Node};
use super::read_search::{search, sensitivity};
use super::{Augment, Data, DataSource, Length, Model, ModelSource, Normalize, Optimizer, Pool, Recipe, Schedule, Spec, SpecError, Width};
use crate::data::Amount;
use crate::network::zoo::{self, ShortcutKind, Stem};
use std::collections::BTreeMap;

pub(super) fn document(text: &str) -> Result<Spec, SpecError> {
    let value = serde_yaml::from_str(text).map_err(|error| {
        let place = error.location();
        // The parser repeats the place in its message.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        SpecError {
            line: place.as_ref().map(serde_yaml::Location::line),
            column: place.as_ref().map(serde_yaml::Location::column),
            ..SpecError::new("", format!("this is not valid YAML: {message}"))
                .help("check indentation, colons and brackets here and on the line above")
        }
    })?;
    let root = Node::root(text, &value);
    let known = ["name", "model", "data", "train", "sensitivity", "search", "finetune", "seed", "matrix"];
    let fields = root.fields(&known)?;
    if let Some(matrix) = fields.get("matrix") {
        return Err(matrix.error("(a sweep) is not supported yet").help("submit one document a combination; shared work is done once"));
    }
    let name = name(&fields.need("name", "give the experiment a name, such as `name: my-net`")?)?;
    let model = model(&fields.need("model", "name a network, such as `model: {zoo: resnet20}`")?)?;
    let data = data(&fields.need("data", "name a data set, such as `data: {dataset: fashion-mnist-10k}`")?)?;
    let train = match (fields.get("train"), model.has_weights()) {
        (Some(node), true) => {
            return Err(node
                .error("has no use beside a model that brings its weights")
                .help("remove one: weights are taken as they are, and `finetune` trains the winner"));
        }
        (Some(node), false) => Some(recipe(&node, &dense_recipe())?),
        (None, true) => None,
        (None, false) => Some(dense_recipe()),
    };
    let sensitivity = fields.get("sensitivity").map(|node| sensitivity(&node)).transpose()?;
    let search = fields.get("search").map(|node| search(&node)).transpose()?;
    let finetune = match (fields.get("finetune"), &search) {
        (Some(node), None) => return Err(node.error("has nothing to train: there is no `search`").help("add a `search`, or remove it")),
        (Some(node), Some(_)) => Some(recipe(&node, &long_recipe())?),
        (None, _) => None,
    };
    let seed = fields.or("seed", 0, |node| node.whole(0))?;
    Ok(Spec { name, model, data, train, sensitivity, search, finetune, seed })
}

fn name(node: &Node<'_>) -> Result<String, SpecError> {
    let name = node.text()?;
    let fine = !name.is_empty() && name.len() <= 64 && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    match fine && !name.starts_with(['.', '-']) {
        true => Ok(name.to_owned()),
        false => Err(node.error("must be 1 to 64 letters, digits, `.`, `_` and `-`, starting with a letter, digit or `_`")),
    }
}

fn model(node: &Node<'_>) -> Result<Model, SpecError> {
    let known = ["zoo", "onnx", "widths", "width", "shortcut", "stem", "input", "classes", "checkpoint", "names"];
    let fields = node.fields(&known)?;
    let (key, source) = fields.one_of(&["zoo", "onnx"])?;
    let takes = match key {
        "onnx" => zoo::Takes::default(),
        _ => pick(&source, "network", &zoo::all().iter().map(|entry| (entry.name, entry.takes)).collect::<Vec<_>>())?,
    };
    for (key, fits) in [("widths", takes.widths), ("width", takes.width), ("shortcut", takes.shortcut), ("stem", takes.stem)] {
        if let (Some(node), false) = (fields.get(key), fits) {
            return Err(node.error(format!("is not for {}", source.text()?)));
        }
    }
    if let ("onnx", Some(node)) = (key, fields.get("checkpoint").or_else(|| fields.get("names"))) {
        return Err(node.error("has no use beside `model.onnx`, which brings its weights").help("remove it"));
    }
    if let (Some(node), None) = (fields.get("names"), fields.get("checkpoint")) {
        return Err(node.error("says what tensors are called in a checkpoint, and there is none").help("add `checkpoint: FILE`"));
    }
    let widths = match takes.widths {
        true => {
            Some(fields.need("widths", "list channels and poolings, such as `widths: [16, 16, M, 32, 32]`")?.list("widths", |node| {
                match node.text() {
                    Ok("M") => Ok(Width::Pool(Pool::M)),
                    Ok(_) => Err(node.error("must be a number of channels or M")),
                    Err(_) => node.count(1).map(Width::Channels),
                }
            })?)
        }
        false => None,
    };
    if let (Some(widths), Some(node)) = (&widths, fields.get("widths"))
        && !widths.iter().any(|width| matches!(width, Width::Channels(_)))
    {
        return Err(node.error("holds no convolution"));
    }
    let input = fields.get("input").map(|node| {
        let input = node.list("three sizes [channels, height, width]", |node| node.count(1))?;
        <[usize; 3]>::try_from(input).map_err(|_| node.error("must be [channels, height, width]"))
    });
    let shortcuts = [("A", ShortcutKind::A), ("B", ShortcutKind::B)];
    let stems = [("imagenet", Stem::Imagenet), ("cifar", Stem::Cifar)];
    let text = source.text()?.to_owned();
    Ok(Model {
        source: if key == "onnx" { ModelSource::Onnx(text) } else { ModelSource::Zoo(text) },
        widths,
        width: takes
            .width
            .then(|| fields.or("width", 1.0, |node| node.number("above 0 and at most 64", |w| w > 0.0 && w <= 64.0)))
            .transpose()?,
        shortcut: takes.shortcut.then(|| fields.or("shortcut", ShortcutKind::A, |node| pick(node, "shortcut", &shortcuts))).transpose()?,
        stem: takes.stem.then(|| fields.or("stem", Stem::Imagenet, |node| pick(node, "stem", &stems))).transpose()?,
        input: input.transpose()?,
        classes: fields.get("classes").map(|node| node.count(2)).transpose()?,
        checkpoint: fields.get("checkpoint").map(|node| node.text().map(str::to_owned)).transpose()?,
        names: fields.or("names", BTreeMap::new(), |node| node.texts())?,
    })
}

fn data(node: &Node<'_>) -> Result<Data, SpecError> {
    let fields = node.fields(&["dataset", "idx", "cifar10", "cifar100", "images", "holdout", "normalize", "augment"])?;
    let (key, node) = fields.one_of(&["dataset", "idx", "cifar10", "cifar100", "images"])?;
    let text = node.text()?.to_owned();
    let source = match key {
        "dataset" => pick(&node, "data set", &[("fashion-mnist-10k", DataSource::Dataset(text))])?,
        "idx" => DataSource::Idx(text),
        "cifar10" => DataSource::Cifar10(text),
        "cifar100" => DataSource::Cifar100(text),
        _ => return Err(node.error("(a folder of pictures) is not supported yet").help("convert it to IDX or CIFAR binary files")),
    };
    let holdout = |node: &Node<'_>| match node.is_whole() {
        true => node.count(0).map(Amount::Count),
        false => node.number("that counts images, or a fraction from 0 to 1", |f| (0.0..=1.0).contains(&f)).map(Amount::Fraction),
    };
    let normalize = fields.get("normalize").map(|node| {
        let fields = node.fields(&["mean", "std"])?;
        let mean = fields.need("mean", "one value, or one a channel")?.list("numbers", |node| node.number("that is finite", |_| true))?;
        let std = fields.need("std", "one value, or one a channel")?.list("numbers", |node| node.number("above 0", |std| std > 0.0))?;
        match mean.len() == std.len() {
            true => Ok(Normalize { mean, std }),
            false => Err(node.error(format!("has {} means and {} standard deviations", mean.len(), std.len()))),
        }
    });
    let augment = fields.or("augment", Augment::default(), |node| {
        let fields = node.fields(&["flip", "crop_padding"])?;
        Ok(Augment { flip: fields.or("flip", false, Node::boolean)?, crop_padding: fields.or("crop_padding", 0, |node| node.count(0))? })
    })?;
    Ok(Data { source, holdout: fields.or("holdout", Amount::Fraction(0.1), holdout)?, normalize: normalize.transpose()?, augment })
}

pub(super) fn recipe(node: &Node<'_>, default: &Recipe) -> Result<Recipe, SpecError> {
    let fields = node.fields(&["epochs", "steps", "batch", "optimizer", "schedule", "label_smoothing", "seed"])?;
    let length = match (fields.get("epochs"), fields.get("steps")) {
        (Some(_), Some(_)) => return Err(fields.error("has both `epochs` and `steps`").help("keep one of them")),
        (Some(epochs), None) => Length::Epochs(epochs.count(0)?),
        (None, Some(steps)) => Length::Steps(steps.count(0)?),
        (None, None) => default.length,
    };
    let smoothing = |node: &Node<'_>| node.number("from 0 to below 1", |x| (0.0..1.0).contains(&x));
    Ok(Recipe {
        length,
        batch: fields.or("batch", default.batch, |node| node.count(1))?,
        optimizer: fields.or("optimizer", default.optimizer.clone(), optimizer)?,
        schedule: fields.or("schedule", default.schedule.clone(), schedule)?,
        label_smoothing: fields.or("label_smoothing", 0.0, smoothing)?,
        seed: fields.get("seed").map(|node| node.whole(0)).transpose()?,
    })
}

fn optimizer(node: &Node<'_>) -> Result<Optimizer, SpecError> {
    let (name, inner) = node.choice("optimizer", &["sgd", "adam"])?;
    let inner = inner.ok_or_else(|| node.error("lacks its learning rate").help(format!("write `{{{name}: {{lr: 0.01}}}}`")))?;
    let lr = |fields: &Fields<'_>| fields.need("lr", "such as `lr: 0.01`")?.number("above 0", |lr| lr > 0.0);
    let decay = |node: &Node<'_>| node.number("of at least 0", |x| x >= 0.0);
    let below_one = |node: &Node<'_>| node.number("from 0 to below 1", |x| (0.0..1.0).contains(&x));
    match name {
        "sgd" => {
            let fields = inner.fields(&["lr", "momentum", "weight_decay"])?;
            Ok(Optimizer::Sgd {
                lr: lr(&fields)?,
                momentum: fields.or("momentum", 0.0, below_one)?,
                weight_decay: fields.or("weight_decay", 0.0, decay)?,
            })
        }
        _ => {
            let fields = inner.fields(&["lr", "betas", "epsilon", "weight_decay"])?;
            let betas = fields.get("betas").map(|node| {
                <[f64; 2]>::try_from(node.list("two rates", below_one)?).map_err(|_| node.error("must be two rates, such as [0.9, 0.999]"))
            });
            Ok(Optimizer::Adam {
                lr: lr(&fields)?,
                betas: betas.transpose()?.unwrap_or([0.9, 0.999]),
                epsilon: fields.or("epsilon", 1e-8, |node| node.number("above 0", |x| x > 0.0))?,
                weight_decay: fields.or("weight_decay", 0.0, decay)?,
            })
        }
    }
}

fn schedule(node: &Node<'_>) -> Result<Schedule, SpecError> {
    let (name, inner) = node.choice("schedule", &["constant", "step", "cosine"])?;
    let known: &[&str] = if name == "step" { &["every", "gamma", "warmup_steps"] } else { &["warmup_steps"] };
    let fields = inner.as_ref().map(|inner| inner.fields(known)).transpose()?;
    let warmup_steps = fields.as_ref().map_or(Ok(0), |fields| fields.or("warmup_steps", 0, |node| node.count(0)))?;
    match (name, &fields) {
        ("constant", _) => Ok(Schedule::Constant { warmup_steps }),
        ("cosine", _) => Ok(Schedule::Cosine { warmup_steps }),
        (_, Some(fields)) => Ok(Schedule::Step {
            every: fields.need("every", "steps between two decays")?.count(1)?,
            gamma: fields.or("gamma", 0.1, |node| node.number("above 0 and at most 1", |x| x > 0.0 && x <= 1.0))?,
            warmup_steps,
        }),
        (_, None) => Err(node.error("lacks its constants").help("write `{step: {every: 1000, gamma: 0.1}}`")),
    }
}

/// The value of a word.
pub(super) fn pick<T: Clone>(node: &Node<'_>, what: &str, known: &[(&str, T)]) -> Result<T, SpecError> {
    node.text()?;
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let (name, _) = node.choice(what, &names)?;
    // `choice` only answers known names.
    known.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone()).ok_or_else(|| node.error("is unknown"))
}

fn sgd(lr: f64, weight_decay: f64) -> Optimizer {
    Optimizer::Sgd { lr, momentum: 0.9, weight_decay }
}

/// For the dense network: eight epochs, as the CIFAR papers train but shorter.
fn dense_recipe() -> Recipe {
    let schedule = Schedule::Cosine { warmup_steps: 50 };
    Recipe { length: Length::Epochs(8), batch: 64, optimizer: sgd(0.05, 5e-4), schedule, label_smoothing: 0.0, seed: None }
}

/// For the winner: a fifth of the dense network's rate (Han et al. 2015: a tenth to a hundredth; short runs need the upper end).
fn long_recipe() -> Recipe {
    let schedule = Schedule::Cosine { warmup_steps: 0 };
    Recipe { length: Length::Epochs(6), batch: 64, optimizer: sgd(0.01, 5e-4), schedule, label_smoothing: 0.0, seed: None }
}

/// For candidates: the official NetAdapt code's.
pub(super) fn short_recipe() -> Recipe {
    let schedule = Schedule::Constant { warmup_steps: 0 };
    Recipe { length: Length::Steps(500), batch: 128, optimizer: sgd(0.001, 1e-4), schedule, label_smoothing: 0.0, seed: None }
}
