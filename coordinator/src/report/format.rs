//! Numbers as people read them. One place, so that the terminal and the page say the same.

/// What stands where nothing is known.
pub const NOTHING: &str = "-";

/// `0.9123` is `91.23 %`. Two decimals: one image of ten thousand still shows.
pub fn percent(fraction: f64) -> String {
    match fraction.is_finite() {
        true => format!("{:.2} %", fraction * 100.0),
        false => NOTHING.into(),
    }
}

/// Milliseconds without the unit, to about three digits.
pub fn ms(value: f64) -> String {
    match value.abs() {
        magnitude if !magnitude.is_finite() => NOTHING.into(),
        magnitude if magnitude < 10.0 => format!("{value:.3}"),
        magnitude if magnitude < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.1}"),
    }
}

/// `1234567` is `1.23 M`: three digits and a decimal prefix.
pub fn count(value: f64) -> String {
    if !value.is_finite() {
        return NOTHING.into();
    }
    // Half a unit of the third digit below the next power, so that 999.6 k reads 1.00 M and not 1000 k.
    let (scaled, prefix) = match value.abs() {
        magnitude if magnitude < 999.5 => return format!("{value:.0}"),
        magnitude if magnitude < 999.5e3 => (value / 1e3, "k"),
        magnitude if magnitude < 999.5e6 => (value / 1e6, "M"),
        _ => (value / 1e9, "G"),
    };
    match scaled.abs() {
        magnitude if magnitude < 9.995 => format!("{scaled:.2} {prefix}"),
        magnitude if magnitude < 99.95 => format!("{scaled:.1} {prefix}"),
        _ => format!("{scaled:.0} {prefix}"),
    }
}

/// A resource in the unit of its budget, without the unit's name.
pub fn resource(value: f64, unit: &str) -> String {
    match unit {
        "ms" => ms(value),
        _ => count(value),
    }
}

/// A resource with its unit: `0.412 ms`, `2.60 M MACs`.
pub fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", resource(value, unit))
}

/// `part` of `whole` as `58 %`; nothing where there is no whole.
pub fn ratio(part: f64, whole: f64) -> Option<String> {
    let percent = part / whole * 100.0;
    percent.is_finite().then(|| format!("{percent:.0} %"))
}

/// How far `value` is from `from`, as `-1.7 %`.
pub fn deviation(value: f64, from: f64) -> Option<String> {
    let percent = (value - from) / from * 100.0;
    percent.is_finite().then(|| format!("{percent:+.1} %"))
}

/// `241 s`, and from ten minutes on `1 h 02 min`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..600 => format!("{whole} s"),
        600..3600 => format!("{} min", whole / 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

/// The value as the format says, or a dash.
pub fn optional(value: Option<f64>, format: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| NOTHING.into(), format)
}
