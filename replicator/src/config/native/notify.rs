//! `[notify]` of a TOML file.

use super::super::key::Kind;
use super::super::notify::Notify;
use super::super::problem::shown;
use super::super::value::Command;
use super::super::value::Value;
use super::reader::Fields;

/// An hour.
const COOLDOWN: u64 = 3600;

/// The longest address.
const LONGEST: usize = 1000;

pub(super) fn notify(fields: Fields<'_, '_>) -> Notify {
    let command = fields.get("command").and_then(|field| match field.setting(Kind::Command)? {
        Value::Command(Command::Nothing) | Value::Bool(_) => None,
        Value::Command(command) => Some(command),
        _ => None,
    });
    let mut mail = Vec::new();
    for (text, span) in fields.texts("mail") {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._%+-@=".contains(c);
        if text.is_empty() || text.len() > LONGEST || text.starts_with('-') || !text.chars().all(fits) {
            let message = format!("\"{}\" is not an address for mail", shown(text));
            fields.reader.error(&span, message, "write it as name@example.org, or as a user of this machine");
        } else {
            mail.push(text.to_string());
        }
    }
    let webhook = fields.text("webhook").and_then(|(text, span)| {
        let plain = text.strip_prefix("http://").is_some_and(|rest| !rest.is_empty());
        let clean = text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic());
        if plain && clean {
            return Some(text.to_string());
        }
        let message = format!("`webhook` cannot be \"{}\": only plain HTTP is spoken here", shown(text));
        fields.reader.error(&span, message, "write http://…, or use `command` with a program such as curl");
        None
    });
    let named = ["command", "mail", "webhook"].iter().any(|key| fields.has(key));
    if !named {
        fields.error("[notify] says nobody who is told", "add `command`, `mail` or `webhook`");
    }
    let cooldown = fields.age("cooldown").unwrap_or(COOLDOWN);
    fields.finish();
    Notify { command, mail, webhook, cooldown }
}
