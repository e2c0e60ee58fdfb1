// SPDX-License-Identifier: Apache-2.0
//! From an event to a line: text for a person's file, JSON for the log of a pod.

use std::fmt;
use std::sync::Mutex;
use std::time::Instant;

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::Layer;

use super::limit::LineLimit;
use super::writer::{LogDestination, LogWriter};
use crate::config::{self, LogLevel, LogTo};
use crate::locked::Locked;

/// Only what is ours: others may log what they were given.
const TARGET: &str = env!("CARGO_CRATE_NAME");
/// A line is then written in one piece, also beside those of another writer to the same pipe.
const LONGEST_VALUE: usize = 1000;
const LONGEST_LINE: usize = 4000;
const DIRECTORY: &str = "cloud_recording_log";

/// Writes events as lines.
pub struct LineLayer {
    recording_id: String,
    as_json: bool,
    level: Level,
    limit: Mutex<LineLimit<Identifier>>,
    writer: LogWriter,
}

impl LineLayer {
    /// `None` where nothing shall be written.
    pub fn new(settings: &config::LogSettings, recording_id: &str) -> Option<Self> {
        let destination = match settings.to {
            LogTo::Off => return None,
            LogTo::StandardError => LogDestination::StandardError,
            LogTo::File => {
                let directory = settings.directory.clone().unwrap_or_else(|| DIRECTORY.into());
                LogDestination::File(directory.join(format!("{recording_id}.log")))
            }
        };
        Some(Self {
            recording_id: recording_id.to_owned(),
            as_json: settings.to == LogTo::StandardError,
            level: if settings.level == LogLevel::Debug { Level::DEBUG } else { Level::INFO },
            limit: Mutex::new(LineLimit::new()),
            writer: LogWriter::new(destination),
        })
    }

    fn is_wanted(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().strip_prefix(TARGET).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        ours && *metadata.level() <= self.level
    }

    fn text(&self, level: Level, fields: &LogFields) -> String {
        let time = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut line = if self.as_json {
            fields.json(&time, level, &self.recording_id)
        } else {
            format!("{time} {level} {fields}")
        };
        line.push('\n');
        line
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LineLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.is_wanted(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level.into())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = LogFields::default();
            attributes.record(&mut fields);
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let kind = event.metadata().callsite();
        let Some(left_out) = self.limit.locked().admit(kind.clone(), Instant::now()) else { return };
        let mut fields = LogFields::default();
        for span in context.event_scope(event).into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            fields
                .others
                .extend(span.extensions().get::<LogFields>().map(|of_span| of_span.others.clone()).unwrap_or_default());
        }
        event.record(&mut fields);
        if left_out > 0 {
            fields.add("leftOut", left_out.into());
        }
        if !self.writer.write(self.text(*event.metadata().level(), &fields)) {
            self.limit.locked().lost(&kind, left_out);
        }
    }
}

/// An event's message and its other fields, those of its spans first.
#[derive(Debug, Clone, Default)]
struct LogFields {
    message: String,
    others: Vec<(&'static str, Value)>,
}

impl LogFields {
    /// The inner one counts.
    fn add(&mut self, name: &'static str, value: Value) {
        self.others.retain(|(other, _)| *other != name);
        self.others.push((name, value));
    }

    fn json(&self, time: &str, level: Level, recording_id: &str) -> String {
        let mut line = Map::new();
        line.insert("time".into(), time.into());
        line.insert("level".into(), level.as_str().to_lowercase().into());
        line.insert("recordingId".into(), recording_id.into());
        line.insert("message".into(), self.message.as_str().into());
        line.extend(self.others.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let text = Value::Object(line).to_string();
        if text.len() <= LONGEST_LINE {
            return text;
        }
        Self { message: self.message.clone(), others: Vec::new() }.json(time, level, recording_id)
    }
}

impl fmt::Display for LogFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.others.iter().try_for_each(|(name, value)| match value {
            Value::String(text) if text.contains([' ', '"']) => write!(f, " {name}={text:?}"),
            Value::String(text) => write!(f, " {name}={text}"),
            value => write!(f, " {name}={value}"),
        })
    }
}

impl Visit for LogFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let text = plain(value);
        if field.name() == "message" {
            self.message = text;
        } else {
            self.add(field.name(), text.into());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value.into());
    }
}

/// Without line breaks and the like, so that nobody's words can look like lines of ours, and not for ever.
fn plain(words: &str) -> String {
    let mut text = String::with_capacity(words.len().min(LONGEST_VALUE));
    for character in words.chars() {
        if text.len() + character.len_utf8() > LONGEST_VALUE {
            text.push('…');
            break;
        }
        text.push(if character.is_control() { ' ' } else { character });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_others_make_no_lines_and_are_cut() {
        assert_eq!(plain("refused\r\n2026 INFO forged\u{1b}[0m"), "refused  2026 INFO forged [0m");
        let cut = plain(&"é".repeat(LONGEST_VALUE));
        assert!(cut.len() <= LONGEST_VALUE + '…'.len_utf8() && cut.ends_with("é…"));
    }

    #[test]
    fn a_line_is_text_for_people_and_json_for_a_pod() {
        let mut fields = LogFields { message: "uploaded".into(), others: Vec::new() };
        fields.add("participant", 7.into());
        fields.add("participant", 8.into());
        fields.add("detail", "no \"way\"".into());
        assert_eq!(fields.to_string(), r#"uploaded participant=8 detail="no \"way\"""#);
        let json: Value = serde_json::from_str(&fields.json("t", Level::WARN, "id")).unwrap();
        let expected = serde_json::json!({"time": "t", "level": "warn", "recordingId": "id", "message": "uploaded",
            "participant": 8, "detail": "no \"way\""});
        assert_eq!(json, expected);
    }

    #[test]
    fn a_line_of_json_is_written_in_one_piece() {
        let mut fields = LogFields { message: "m".repeat(LONGEST_VALUE), others: Vec::new() };
        for name in ["a", "b", "c", "d"] {
            fields.add(name, "x".repeat(LONGEST_VALUE).into());
        }
        assert!(fields.json("t", Level::INFO, "id").len() < LONGEST_LINE);
    }
}
