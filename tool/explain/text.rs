//! Text for a terminal: what others wrote, made harmless; colours where somebody sees them; lists
//! with an end.

use std::ffi::OsString;

/// The most characters of a text of others that are shown.
const MAX_SHOWN_CHARS: usize = 255;

/// The most entries of a list that are named.
const MAX_NAMED: usize = 5;

/// Makes a text of others fit to be shown: no character that would steer a terminal or hide or turn
/// around what stands beside it, no line feed, no more than [`MAX_SHOWN_CHARS`].
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (position, character) in text.chars().enumerate() {
        if position == MAX_SHOWN_CHARS {
            out.push('…');
            break;
        }
        match steers(character) {
            true => out.extend(character.escape_unicode()),
            false => out.push(character),
        }
    }
    out
}

/// Control characters, line and paragraph separators, and those that are invisible or set the
/// direction of writing.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}'
        )
}

/// Names at most five, and says how many more there are.
pub(super) fn named<T: AsRef<str>>(all: impl ExactSizeIterator<Item = T>) -> String {
    let more = all.len().saturating_sub(MAX_NAMED);
    let names: Vec<String> = all.take(MAX_NAMED).map(|name| shown(name.as_ref())).collect();
    match more {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// How a text looks on a terminal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Look {
    Heading,
    Yes,
    No,
    Source,
}

/// Whether texts have a look.
#[derive(Debug, Clone, Copy)]
pub(super) enum Style {
    Plain,
    Coloured,
}

impl Style {
    /// Colours are for a terminal alone, and not if `NO_COLOR` has a value (<https://no-color.org>)
    /// or the terminal is a `dumb` one.
    pub(super) fn new(is_terminal: bool, no_color: Option<OsString>, term: Option<OsString>) -> Self {
        let is_unwanted = no_color.is_some_and(|value| !value.is_empty());
        let is_dumb = term.is_some_and(|term| term == "dumb");
        if is_terminal && !is_unwanted && !is_dumb { Self::Coloured } else { Self::Plain }
    }

    /// The text in this look.
    pub(super) fn paint(self, look: Look, text: &str) -> String {
        let code = match (self, look) {
            (Self::Plain, _) => return text.to_owned(),
            (Self::Coloured, Look::Heading) => "1",
            (Self::Coloured, Look::Yes) => "32",
            (Self::Coloured, Look::No) => "31",
            (Self::Coloured, Look::Source) => "2",
        };
        format!("\u{1B}[{code}m{text}\u{1B}[0m")
    }
}
