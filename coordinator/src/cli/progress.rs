//! Live progress on standard error: a spinner on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use pleach_shared::rpc::v1::WatchEvent;
use std::io::IsTerminal;
use std::time::Duration;

/// Whether escape codes may be printed: only where a person sees both streams.
pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

/// Shows watch events.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    phase: String,
    waiting: String,
}

impl Progress {
    pub(super) fn new() -> Progress {
        let bar = is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} [{elapsed}] {wide_msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Progress { bar, phase: String::new(), waiting: String::new() }
    }

    pub(super) fn show(&mut self, event: &WatchEvent) {
        for line in &event.lines {
            self.line(line);
        }
        match &self.bar {
            Some(bar) => bar.set_message(message(event)),
            None => {
                if event.phase != self.phase {
                    eprintln!("{}", event.phase);
                }
                if event.waiting != self.waiting && !event.waiting.is_empty() {
                    eprintln!("waiting: {}", event.waiting);
                }
            }
        }
        self.phase.clone_from(&event.phase);
        self.waiting.clone_from(&event.waiting);
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }
}

/// `round 3: fine-tuning 5 candidates | 41 done (12 reused) | adapt features.3 to 12 channels 40 % | about 2 min left`
fn message(event: &WatchEvent) -> String {
    let mut parts = vec![event.phase.clone(), format!("{} done ({} reused)", event.done, event.reused)];
    if !event.waiting.is_empty() {
        parts.push(format!("waiting: {}", event.waiting));
    }
    parts.extend(event.running.iter().take(2).map(|task| match task.fraction > 0.0 {
        true => format!("{} {:.0} %", task.what, task.fraction * 100.0),
        false => task.what.clone(),
    }));
    if event.running.len() > 2 {
        parts.push(format!("{} more", event.running.len() - 2));
    }
    if event.left_s > 0.0 {
        parts.push(match event.left_s {
            left if left < 90.0 => format!("about {left:.0} s left"),
            left => format!("about {:.0} min left", left / 60.0),
        });
    }
    parts.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_shared::rpc::v1::RunningTask;

    #[test]
    fn a_message_says_what_runs_and_how_long() {
        let task = |what: &str, fraction| RunningTask { what: what.into(), fraction, ..Default::default() };
        let event = WatchEvent {
            phase: "round 3".into(),
            done: 41,
            reused: 12,
            left_s: 130.0,
            running: vec![task("adapt a to 4 channels", 0.4), task("adapt b to 8 channels", 0.0), task("adapt c to 2 channels", 0.0)],
            ..Default::default()
        };
        insta::assert_snapshot!(message(&event), @"round 3 | 41 done (12 reused) | adapt a to 4 channels 40 % | adapt b to 8 channels | 1 more | about 2 min left");
    }
}
