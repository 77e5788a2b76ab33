//! Figures and notes as text: in few characters, and in lines that fit.

/// The longest line.
pub(super) const COLUMNS: u16 = 100;

/// Breaks a text at spaces, each further line indented.
pub(super) fn wrap(label: &str, text: &str) -> String {
    let mut lines = String::new();
    let mut line = label.to_owned();
    for word in text.split(' ') {
        if line.chars().count() + word.chars().count() > usize::from(COLUMNS) {
            lines += line.trim_end();
            lines.push('\n');
            line = String::from("  ");
        }
        line += word;
        line.push(' ');
    }
    lines += line.trim_end();
    lines.push('\n');
    lines
}

/// A time in at most six characters: two digits, or the whole of three.
pub(super) fn time(ns: Option<f64>) -> String {
    let Some(ns) = ns else { return "–".into() };
    let (value, unit) = scaled(ns);
    format!("{} {unit}", digits(value))
}

/// As [`time`], without the unit's name.
pub(super) fn short_time(ns: f64) -> String {
    let (value, unit) = scaled(ns);
    match unit {
        "ns" => digits(value),
        _ => format!("{}{}", digits(value), &unit[..unit.len() - 1]),
    }
}

fn scaled(ns: f64) -> (f64, &'static str) {
    match ns {
        _ if ns < 999.5 => (ns, "ns"),
        _ if ns < 999.5e3 => (ns / 1e3, "µs"),
        _ if ns < 999.5e6 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    }
}

fn digits(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") }
}

pub(super) fn number(value: Option<f64>) -> String {
    value.map_or("–".into(), digits)
}

pub(super) fn multiple(ratio: Option<f64>) -> String {
    ratio.map_or("–".into(), |ratio| {
        if ratio < 9.95 { format!("{ratio:.2}") } else { format!("{ratio:.0}") }
    })
}

pub(super) fn size_name(bytes: usize) -> String {
    match bytes {
        _ if bytes >= 1 << 20 && bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 && bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_take_six_characters() {
        let cases = [
            (3.12, "3.1 ns"),
            (84.0, "84 ns"),
            (999.4, "999 ns"),
            (999.6, "1.0 µs"),
            (41_100.0, "41 µs"),
            (999_600.0, "1.0 ms"),
            (2.5e9, "2.5 s"),
        ];
        for (ns, text) in cases {
            assert_eq!(time(Some(ns)), text);
        }
        assert_eq!(time(None), "–");
        assert_eq!(short_time(41_100.0), "41µ");
    }

    #[test]
    fn multiples_that_are_not_known_are_not_invented() {
        assert_eq!(multiple(None), "–");
        assert_eq!(multiple(Some(0.85)), "0.85");
        assert_eq!(multiple(Some(40.3)), "40");
    }

    #[test]
    fn long_notes_are_broken_within_the_columns() {
        let text = wrap("note: ", &"word ".repeat(60));
        assert!(text.lines().count() > 2);
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(COLUMNS) + 2));
    }
}
