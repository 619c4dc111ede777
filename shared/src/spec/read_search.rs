//! The sections that say what to search for: `sensitivity:` and `search:`.

use super::node::Node;
use super::read::{pick, recipe, short_recipe};
use super::{
    Budget, BudgetAmount, Channels, Criterion, Granularity, Importance, Netadapt, Normalization, OneShot, Ranking, Reduction, Scope,
    Search, Select, Sensitivity, SpecError, Step,
};

pub(super) fn sensitivity(node: &Node<'_>) -> Result<Sensitivity, SpecError> {
    let fields = node.fields(&["criterion", "granularity", "ratios"])?;
    let granularity = fields.or("granularity", Granularity::Channel, granularity)?;
    let criterion = fields.or("criterion", Criterion::L1, |node| criterion(node, granularity))?;
    let default = match granularity.own_ratio() {
        Some(ratio) => vec![ratio],
        None => (1..10).map(|tenth| f64::from(tenth) / 10.0).collect(),
    };
    let ratio = |node: &Node<'_>| node.number("from 0 to 0.99", |ratio| (0.0..=0.99).contains(&ratio));
    let ratios = fields.or("ratios", default, |node| node.list("ratios", ratio))?;
    Ok(Sensitivity { criterion, granularity, ratios })
}

pub(super) fn search(node: &Node<'_>) -> Result<Search, SpecError> {
    let fields = node.fields(&["netadapt", "one_shot"])?;
    match fields.one_of(&["netadapt", "one_shot"])? {
        ("netadapt", node) => netadapt(&node).map(Search::Netadapt),
        (_, node) => one_shot(&node).map(Search::OneShot),
    }
}

fn one_shot(node: &Node<'_>) -> Result<OneShot, SpecError> {
    let fields = node.fields(&["sparsity", "granularity", "criterion", "scope", "channels"])?;
    let granularity = fields.or("granularity", Granularity::Channel, granularity)?;
    let sparsity = match (fields.get("sparsity"), granularity.own_ratio()) {
        // A resolved document has it spelt out.
        (Some(node), Some(ratio)) if node.number("", |_| true).is_ok_and(|given| given == ratio) => ratio,
        (Some(node), Some(ratio)) => {
            let message = format!("has no use beside this granularity, which removes {ratio:.3} by itself");
            return Err(node.error(message).help("remove it"));
        }
        (None, Some(ratio)) => ratio,
        (_, None) => fields
            .need("sparsity", "such as `sparsity: 0.5`: the fraction to remove")?
            .number("above 0 and below 1", |sparsity| sparsity > 0.0 && sparsity < 1.0)?,
    };
    let scope = match fields.get("scope") {
        Some(node) => {
            let scope = pick(&node, "scope", &[("layer", Scope::Layer), ("global", Scope::Global)])?;
            if scope == Scope::Global && granularity.own_ratio().is_some() {
                return Err(node.error("cannot be global: this granularity removes the same of every block").help("remove it"));
            }
            scope
        }
        None => Scope::Layer,
    };
    let whole = Channels { multiple_of: 1, min: 1 };
    if let (Some(node), true) = (fields.get("channels"), granularity != Granularity::Channel)
        && channels(&node, 1)? != whole
    {
        return Err(node.error("is for the granularity `channel`").help("remove it"));
    }
    let criterion = fields.or("criterion", Criterion::L2, |node| criterion(node, granularity))?;
    let channels = fields.or("channels", whole, |node| channels(node, 1))?;
    Ok(OneShot { sparsity, granularity, criterion, scope, channels })
}

fn channels(node: &Node<'_>, default: usize) -> Result<Channels, SpecError> {
    let fields = node.fields(&["multiple_of", "min"])?;
    let multiple_of = fields.or("multiple_of", default, |node| node.count(1))?;
    Ok(Channels { multiple_of, min: fields.or("min", multiple_of, |node| node.count(1))? })
}

fn netadapt(node: &Node<'_>) -> Result<Netadapt, SpecError> {
    let fields = node.fields(&["budget", "step", "channels", "criterion", "select", "short_term", "max_rounds"])?;
    let budget = budget(&fields.need("budget", "such as `budget: {latency: 0.6}`")?)?;
    let step = fields.or("step", Step { initial: 0.025, decay: 0.96 }, |node| {
        let fields = node.fields(&["initial", "decay"])?;
        let unit = |node: &Node<'_>| node.number("above 0 and at most 1", |x| x > 0.0 && x <= 1.0);
        Ok(Step { initial: fields.or("initial", 0.025, unit)?, decay: fields.or("decay", 0.96, unit)? })
    })?;
    let channels = fields.or("channels", Channels { multiple_of: 8, min: 8 }, |node| channels(node, 8))?;
    let rules = [("accuracy_per_resource", Select::AccuracyPerResource), ("accuracy", Select::Accuracy)];
    Ok(Netadapt {
        budget,
        step,
        channels,
        criterion: fields.or("criterion", Criterion::L2, channel_criterion)?,
        select: fields.or("select", Select::AccuracyPerResource, |node| pick(node, "winner rule", &rules))?,
        short_term: fields.or("short_term", short_recipe(), |node| recipe(node, &short_recipe()))?,
        max_rounds: fields.or("max_rounds", 30, |node| node.count(1))?,
    })
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

fn granularity(node: &Node<'_>) -> Result<Granularity, SpecError> {
    // `2:4` is how everybody writes N:M.
    if let Some((n, m)) = node.text().ok().and_then(|text| text.split_once(':')) {
        return match (n.parse(), m.parse()) {
            (Ok(n), Ok(m)) => blocks(node, n, m),
            _ => Err(node.error("must be N:M in whole numbers, such as \"2:4\"")),
        };
    }
    let (name, inner) = node.choice("granularity", &["channel", "fine_grained", "vector", "kernel", "pattern", "n_m"])?;
    match (name, inner) {
        ("pattern", None) => Ok(Granularity::Pattern { keep: 4 }),
        ("pattern", Some(inner)) => {
            let keep = inner.fields(&["keep"])?.need("keep", "how many of the nine weights stay")?;
            match keep.count(1)? {
                count @ 1..=8 => Ok(Granularity::Pattern { keep: count }),
                _ => Err(keep.error("must be 1 to 8 of a 3x3 kernel's nine weights")),
            }
        }
        ("n_m", None) => Ok(Granularity::NM { n: 2, m: 4 }),
        ("n_m", Some(inner)) => {
            let fields = inner.fields(&["n", "m"])?;
            let count = |key| fields.need(key, "such as `n_m: {n: 2, m: 4}`")?.count(1);
            blocks(&inner, count("n")?, count("m")?)
        }
        (_, Some(inner)) => Err(inner.error("has no options").help(format!("write `granularity: {name}`"))),
        ("channel", None) => Ok(Granularity::Channel),
        ("fine_grained", None) => Ok(Granularity::FineGrained),
        ("vector", None) => Ok(Granularity::Vector),
        (_, None) => Ok(Granularity::Kernel),
    }
}

fn blocks(node: &Node<'_>, n: usize, m: usize) -> Result<Granularity, SpecError> {
    match n > 0 && n < m && m <= 64 {
        true => Ok(Granularity::NM { n, m }),
        false => Err(node.error(format!("must keep fewer than all of at most 64 weights, found {n} of {m}"))),
    }
}

fn channel_criterion(node: &Node<'_>) -> Result<Criterion, SpecError> {
    criterion(node, Granularity::Channel)
}

fn criterion(node: &Node<'_>, granularity: Granularity) -> Result<Criterion, SpecError> {
    let names = Importance::ALL.map(|(name, _)| name);
    let (name, options) = node.choice("criterion", &names)?;
    let importance = Importance::ALL.into_iter().find(|&(other, _)| other == name).map_or(Importance::L1, |(_, importance)| importance);
    if granularity != Granularity::Channel && !importance.ranks_weights() {
        return Err(node.error(format!("`{name}` ranks channels, not weights")).help("use l1, l2, taylor, lamp, hessian or random"));
    }
    let mut ranking = Ranking::default();
    if let Some(options) = options {
        let mut known = vec!["reduction", "normalize"];
        if importance.needs_data() {
            known.extend(["batches", "batch"]);
        }
        match importance {
            Importance::Taylor => known.push("squared"),
            Importance::Random => known.push("seed"),
            _ => {}
        }
        let fields = options.fields(&known)?;
        let reductions = [("sum", Reduction::Sum), ("mean", Reduction::Mean), ("max", Reduction::Max), ("first", Reduction::First)];
        let scales = [
            ("none", Normalization::None),
            ("sum", Normalization::Sum),
            ("mean", Normalization::Mean),
            ("max", Normalization::Max),
            ("standard", Normalization::Standard),
        ];
        ranking.reduction = fields.or("reduction", ranking.reduction, |node| pick(node, "reduction", &reductions))?;
        ranking.normalize = fields.or("normalize", ranking.normalize, |node| pick(node, "normalization", &scales))?;
        ranking.batches = fields.or("batches", ranking.batches, |node| node.count(1))?;
        ranking.batch = fields.or("batch", ranking.batch, |node| node.count(1))?;
        ranking.squared = fields.or("squared", ranking.squared, Node::boolean)?;
        ranking.seed = fields.or("seed", ranking.seed, |node| node.whole(0))?;
    }
    Ok(Criterion { importance, ranking })
}
