//! The chart: bars for a command with a fresh connection and through a pool.

use std::fmt::Write as _;

use crate::measure::Measured;

const BARS: [(&str, &str, &str, &str); 6] = [
    ("hussh 0.3.3", "fresh", "hussh 0.3.3, a connection each", "#9aa5b1"),
    ("asyncssh", "fresh", "asyncssh, a connection each", "#9aa5b1"),
    ("ssh2", "fresh", "ours on libssh2, a connection each", "#d9a441"),
    ("russh", "fresh", "ours on russh, a connection each", "#d9a441"),
    ("ssh2", "pool", "our pool on libssh2", "#2e8b57"),
    ("russh", "pool", "our pool on russh", "#2e8b57"),
];

const WIDTH: f64 = 760.0;
const LEFT: f64 = 230.0;
const RIGHT: f64 = 70.0;
const BAR: f64 = 18.0;

/// One group of bars for each distance of sshd, each with a scale of its own.
pub(crate) fn svg(all: &[Measured]) -> String {
    let mut body = String::new();
    let mut y = 8.0;
    for measured in all.iter().filter(|measured| measured.server == "sshd") {
        y += 22.0;
        let _ = writeln!(
            body,
            r#"<text x="8" y="{y}" font-weight="bold">sshd, {} ms away: milliseconds for a command</text>"#,
            measured.round_trip_ms
        );
        y += 10.0;
        let bars: Vec<_> = BARS
            .iter()
            .filter_map(|&(library, way, label, colour)| {
                Some((measured.row(library, way)?.median_ms, label, colour))
            })
            .collect();
        let most = bars.iter().map(|bar| bar.0).fold(f64::MIN_POSITIVE, f64::max);
        for (value, label, colour) in bars {
            let length = (WIDTH - LEFT - RIGHT) * value / most;
            let base = y + BAR - 5.0;
            let _ = writeln!(
                body,
                r#"<text x="{}" y="{base}" text-anchor="end">{label}</text><rect x="{LEFT}" y="{y}" width="{length:.1}" height="{}" fill="{colour}"/><text x="{:.1}" y="{base}">{value:.1}</text>"#,
                LEFT - 8.0,
                BAR - 2.0,
                LEFT + length + 6.0,
            );
            y += BAR + 2.0;
        }
        y += 6.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" \
         viewBox=\"0 0 {WIDTH} {y}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
    )
}
