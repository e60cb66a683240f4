//! `knock explain`: what a room's state says about a user, in words, for operators.

mod input;
mod report;
mod room;
mod text;

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use matrix_knock::RoomVersion;
use matrix_knock::event::PduError;
use matrix_knock::id::{IdError, OwnedServerName, OwnedUserId};
use matrix_knock::state::NotLookedUp;

use self::input::InputError;
use self::room::Room;
use self::text::Style;

/// What `explain` is asked for.
#[derive(Debug)]
struct Question {
    user: OwnedUserId,
    version: Option<RoomVersion>,
    /// The server that the knock would go to.
    server: Option<OwnedServerName>,
    /// `None` is standard input.
    file: Option<PathBuf>,
}

/// Why the arguments cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArgumentError {
    #[error("`explain` needs `--user @name:server`")]
    NoUser,
    #[error("`{0}` needs a value")]
    NoValue(&'static str),
    #[error("`{0}` is given twice")]
    Twice(&'static str),
    #[error("`explain` takes one file")]
    TwoFiles,
    #[error("`explain` has no option `{0}`")]
    UnknownOption(String),
    #[error("the value of `{0}` is not UTF-8")]
    NotUtf8(&'static str),
    #[error("the user ID {0}")]
    User(#[source] IdError),
    #[error("the server {0}")]
    Server(#[source] IdError),
    #[error("unknown room version `{0}`")]
    Version(String),
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExplainError {
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    NotLookedUp(#[from] NotLookedUp),
    #[error(transparent)]
    Event(#[from] PduError),
    #[error(transparent)]
    Output(io::Error),
}

impl ExplainError {
    /// Returns the error as text for a terminal: what it quotes of the input may be of any kind.
    pub(crate) fn shown(&self) -> String {
        text::shown(&self.to_string())
    }
}

/// Reads the state that the arguments name, and writes the explanation.
pub(crate) fn explain(arguments: &[OsString], out: &mut (impl Write + IsTerminal)) -> Result<(), ExplainError> {
    let question = Question::read(arguments)?;
    let text = input::read(question.file.as_deref())?;
    let room = Room::read(&text, question.version)?;
    let style = Style::new(out.is_terminal(), std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
    let server = question.server.as_ref().map(OwnedServerName::as_borrowed);
    let report = report::write(&room, question.user.as_borrowed(), server, style)?;
    out.write_all(report.as_bytes()).and_then(|()| out.flush()).map_err(ExplainError::Output)
}

impl Question {
    fn read(arguments: &[OsString]) -> Result<Self, ArgumentError> {
        let (mut user, mut version, mut server, mut file) = (None, None, None, None);
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let Some(option) = option(argument) else {
                if file.replace(PathBuf::from(argument)).is_some() {
                    return Err(ArgumentError::TwoFiles);
                }
                continue;
            };
            let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
            let (name, slot) = match name {
                "--user" => ("--user", &mut user),
                "--room-version" => ("--room-version", &mut version),
                "--server" => ("--server", &mut server),
                _ => return Err(ArgumentError::UnknownOption(name.to_owned())),
            };
            let value = match value {
                Some(value) => value,
                None => {
                    let value = rest.next().ok_or(ArgumentError::NoValue(name))?;
                    value.to_str().ok_or(ArgumentError::NotUtf8(name))?
                }
            };
            if slot.replace(value).is_some() {
                return Err(ArgumentError::Twice(name));
            }
        }
        let version = version.map(|version| version.parse().map_err(|_| ArgumentError::Version(version.to_owned())));
        Ok(Self {
            user: OwnedUserId::parse(user.ok_or(ArgumentError::NoUser)?).map_err(ArgumentError::User)?,
            version: version.transpose()?,
            server: server.map(OwnedServerName::parse).transpose().map_err(ArgumentError::Server)?,
            file: file.filter(|file| file.as_os_str() != "-"),
        })
    }
}

/// The argument, if it is an option. `-` alone is standard input, and a name of no UTF-8 a file's.
fn option(argument: &OsStr) -> Option<&str> {
    argument.to_str().filter(|text| text.starts_with('-') && *text != "-")
}
