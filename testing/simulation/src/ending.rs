//! What the books say once all is over.

use crate::books::Books;
use crate::records::{Breach, LinkRecord, Outcome};

impl Books {
    /// Looks at all jobs once more when all is over.
    pub(crate) fn close(&mut self) {
        let mut found = Vec::new();
        for (number, record) in &self.jobs {
            let mut breach = |rule, detail: String| found.push(Breach { rule, detail });
            let Some(call) = &record.call else {
                breach("once", format!("job {number} was never asked for"));
                continue;
            };
            let (starts, finished) = (record.starts, record.finished);
            match &call.outcome {
                None => breach("deadline", format!("job {number} never came back")),
                Some(Outcome::Done { .. }) if starts != 1 || !finished => {
                    breach("not lost", format!("job {number} has an output and {starts} starts"));
                }
                Some(Outcome::Failed { may_have_started: false, error }) if starts > 0 => {
                    let text =
                        format!("job {number} was started, and its caller told not: {error}");
                    breach("not lost", text);
                }
                _ => {}
            }
            if starts > 0 && !finished && !record.killed {
                breach("left on a server", format!("job {number} runs on"));
            }
        }
        let open = |link: &LinkRecord| link.client_open || link.server_open;
        for (number, link) in self.links.iter().filter(|(_, link)| open(link)) {
            let rule = if link.client_open { "left here" } else { "left on a server" };
            let detail = format!("link {number} of client {} to site {}", link.owner, link.site);
            found.push(Breach { rule, detail });
        }
        self.breaches.append(&mut found);
    }
}
