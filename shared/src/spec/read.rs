//! From a YAML value to a [`Spec`], section by section.

use super::node::{Fields, Node};
use super::{
    Augment, Budget, BudgetAmount, Channels, Criterion, Data, DataSource, Length, Model, Netadapt, Normalize, Optimizer, Pool, Recipe,
    Schedule, Search, Select, Sensitivity, Spec, SpecError, Step, Width, Zoo,
};
use crate::data::Amount;
use crate::network::zoo::ShortcutKind;

const ZOO: [(&str, Zoo); 7] = [
    ("vgg", Zoo::Vgg),
    ("plain20", Zoo::Plain20),
    ("resnet20", Zoo::Resnet20),
    ("resnet32", Zoo::Resnet32),
    ("resnet44", Zoo::Resnet44),
    ("resnet56", Zoo::Resnet56),
    ("mobilenet_v1", Zoo::MobilenetV1),
];

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
    let train = match (fields.get("train"), &model.checkpoint) {
        (Some(node), Some(_)) => {
            return Err(node
                .error("has no use beside `model.checkpoint`")
                .help("remove one: a checkpoint is taken as it is, and `finetune` trains the winner"));
        }
        (Some(node), None) => Some(recipe(&node, &dense_recipe())?),
        (None, Some(_)) => None,
        (None, None) => Some(dense_recipe()),
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
    let fields = node.fields(&["zoo", "onnx", "widths", "width", "shortcut", "input", "classes", "checkpoint"])?;
    if let Some(onnx) = fields.get("onnx") {
        return Err(onnx.error("is not supported yet").help("use a network of the zoo, with its weights as `checkpoint`"));
    }
    let zoo = pick(&fields.need("zoo", "name a network of the zoo")?, "network", &ZOO)?;
    let is_resnet = matches!(zoo, Zoo::Resnet20 | Zoo::Resnet32 | Zoo::Resnet44 | Zoo::Resnet56);
    for (key, fits, whose) in
        [("widths", zoo == Zoo::Vgg, "vgg"), ("width", zoo != Zoo::Vgg, "the other networks"), ("shortcut", is_resnet, "resnets")]
    {
        if let (Some(node), false) = (fields.get(key), fits) {
            return Err(node.error(format!("is for {whose}, not for {zoo}")));
        }
    }
    let widths = match zoo {
        Zoo::Vgg => {
            Some(fields.need("widths", "list channels and poolings, such as `widths: [16, 16, M, 32, 32]`")?.list("widths", |node| {
                match node.text() {
                    Ok("M") => Ok(Width::Pool(Pool::M)),
                    Ok(_) => Err(node.error("must be a number of channels or M")),
                    Err(_) => node.count(1).map(Width::Channels),
                }
            })?)
        }
        _ => None,
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
    Ok(Model {
        zoo,
        widths,
        width: (zoo != Zoo::Vgg)
            .then(|| fields.or("width", 1.0, |node| node.number("above 0 and at most 64", |w| w > 0.0 && w <= 64.0)))
            .transpose()?,
        shortcut: is_resnet.then(|| fields.or("shortcut", ShortcutKind::A, |node| pick(node, "shortcut", &shortcuts))).transpose()?,
        input: input.transpose()?,
        classes: fields.get("classes").map(|node| node.count(2)).transpose()?,
        checkpoint: fields.get("checkpoint").map(|node| node.text().map(str::to_owned)).transpose()?,
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

fn sensitivity(node: &Node<'_>) -> Result<Sensitivity, SpecError> {
    let fields = node.fields(&["criterion", "ratios"])?;
    let ratio = |node: &Node<'_>| node.number("from 0 to 0.99", |ratio| (0.0..=0.99).contains(&ratio));
    let ratios = fields.or("ratios", (1..10).map(|tenth| f64::from(tenth) / 10.0).collect(), |node| node.list("ratios", ratio))?;
    Ok(Sensitivity { criterion: fields.or("criterion", Criterion::L1, criterion)?, ratios })
}

fn search(node: &Node<'_>) -> Result<Search, SpecError> {
    let fields = node.fields(&["netadapt"])?;
    let node = fields.need("netadapt", "the searches are `netadapt`")?;
    let fields = node.fields(&["budget", "step", "channels", "criterion", "select", "short_term", "max_rounds"])?;
    let budget = budget(&fields.need("budget", "such as `budget: {latency: 0.6}`")?)?;
    let step = fields.or("step", Step { initial: 0.025, decay: 0.96 }, |node| {
        let fields = node.fields(&["initial", "decay"])?;
        let unit = |node: &Node<'_>| node.number("above 0 and at most 1", |x| x > 0.0 && x <= 1.0);
        Ok(Step { initial: fields.or("initial", 0.025, unit)?, decay: fields.or("decay", 0.96, unit)? })
    })?;
    let channels = fields.or("channels", Channels { multiple_of: 8, min: 8 }, |node| {
        let fields = node.fields(&["multiple_of", "min"])?;
        let multiple_of = fields.or("multiple_of", 8, |node| node.count(1))?;
        Ok(Channels { multiple_of, min: fields.or("min", multiple_of, |node| node.count(1))? })
    })?;
    let rules = [("accuracy_per_resource", Select::AccuracyPerResource), ("accuracy", Select::Accuracy)];
    Ok(Search::Netadapt(Netadapt {
        budget,
        step,
        channels,
        criterion: fields.or("criterion", Criterion::L2, criterion)?,
        select: fields.or("select", Select::AccuracyPerResource, |node| pick(node, "winner rule", &rules))?,
        short_term: fields.or("short_term", short_recipe(), |node| recipe(node, &short_recipe()))?,
        max_rounds: fields.or("max_rounds", 30, |node| node.count(1))?,
    }))
}

fn budget(node: &Node<'_>) -> Result<Budget, SpecError> {
    let fields = node.fields(&["latency", "latency_ms", "macs", "params", "device"])?;
    let (key, amount) = fields.one_of(&["latency", "latency_ms", "macs", "params"])?;
    let ratio = |node: &Node<'_>| node.number("above 0 and at most 1: a ratio of the dense network's", |x| x > 0.0 && x <= 1.0);
    let count = |node: &Node<'_>| {
        node.number("above 0: up to 1 a ratio of the dense network's, above it a whole count", |x| {
            x > 0.0 && (x <= 1.0 || x.fract() == 0.0)
        })
    };
    let amount = match key {
        "latency" => BudgetAmount::Latency(ratio(&amount)?),
        "latency_ms" => BudgetAmount::LatencyMs(amount.number("of milliseconds above 0", |x| x > 0.0)?),
        "macs" => BudgetAmount::Macs(count(&amount)?),
        _ => BudgetAmount::Params(count(&amount)?),
    };
    let device = fields.or("device", "local".to_owned(), |node| node.text().map(str::to_owned))?;
    Ok(Budget { amount, device })
}

fn recipe(node: &Node<'_>, default: &Recipe) -> Result<Recipe, SpecError> {
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

fn criterion(node: &Node<'_>) -> Result<Criterion, SpecError> {
    pick(node, "criterion", &[("l1", Criterion::L1), ("l2", Criterion::L2)])
}

/// The value of a word.
fn pick<T: Clone>(node: &Node<'_>, what: &str, known: &[(&str, T)]) -> Result<T, SpecError> {
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
fn short_recipe() -> Recipe {
    let schedule = Schedule::Constant { warmup_steps: 0 };
    Recipe { length: Length::Steps(500), batch: 128, optimizer: sgd(0.001, 1e-4), schedule, label_smoothing: 0.0, seed: None }
}
