//! What was found, as markdown.

use std::fmt::Write as _;

use crate::measure::Measured;

/// Everything about one server.
pub(crate) fn full(measured: &Measured) -> String {
    let mut text = format!(
        "### {}, {} ms away: milliseconds for a command\n\n\
         | | | ms | fresh ÷ this |\n|---|---|---:|---:|\n",
        measured.server, measured.round_trip_ms
    );
    for row in &measured.rows {
        let fresh = measured.ratio((row.library, "fresh"), (row.library, row.way));
        let fresh = fresh.map_or_else(|| "–".into(), |ratio| format!("{ratio:.1}"));
        let _ =
            writeln!(text, "| {} | {} | {:.2} | {fresh} |", row.library, row.way, row.median_ms);
    }
    for (ours, by_hand) in [("ssh2", "raw ssh2"), ("russh", "raw russh")] {
        if let Some(ratio) = measured.ratio((ours, "pool"), (by_hand, "held by hand")) {
            let _ = writeln!(text, "\nPool over {by_hand} held by hand: {ratio:.2}.");
        }
    }
    for library in ["ssh2", "russh"] {
        for peer in ["asyncssh", "hussh 0.3.3"] {
            if let Some(fresh) = measured.ratio((library, "fresh"), (peer, "fresh"))
                && let Some(saved) = measured.ratio((peer, "fresh"), (library, "pool"))
            {
                let _ = writeln!(
                    text,
                    "\nFresh {library} over fresh {peer}: {fresh:.2}; fresh {peer} over our pool: \
                     {saved:.1}."
                );
            }
        }
    }
    text
}

/// A row for each server and library.
pub(crate) fn short<'m>(all: impl Iterator<Item = &'m Measured>) -> String {
    let mut text = String::from(
        "| milliseconds for a command | a connection each | held | pool | pool, 5 at once on one \
         connection | saved by the pool |\n|---|---:|---:|---:|---:|---:|\n",
    );
    for measured in all {
        for library in ["ssh2", "russh", "hussh 0.3.3", "asyncssh"] {
            let cell = |way| {
                let row = measured.row(library, way);
                row.map_or_else(|| "–".into(), |row| format!("{:.1}", row.median_ms))
            };
            if measured.row(library, "fresh").is_none() {
                continue;
            }
            let saved = measured.ratio((library, "fresh"), (library, "pool"));
            let saved = saved.map_or_else(|| "–".into(), |ratio| format!("{ratio:.1} ×"));
            let _ = writeln!(
                text,
                "| {}, {} ms away, {library} | {} | {} | {} | {} | {saved} |",
                measured.server,
                measured.round_trip_ms,
                cell("fresh"),
                cell("held"),
                cell("pool"),
                cell("pool, 5 channels"),
            );
        }
    }
    text
}
