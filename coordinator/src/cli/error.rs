//! Errors as a person sees them, and exit codes.

use crate::submit::InputError;
use std::fmt;

/// What went wrong, and whose turn it is: 2 where the command line or a file it names must change, 1 where the work failed.
#[derive(Debug)]
pub struct CliError {
    message: String,
    help: Option<String>,
    code: u8,
}

impl CliError {
    /// The user's turn: a file or an argument must change.
    pub fn usage(message: impl Into<String>) -> CliError {
        CliError { message: message.into(), help: None, code: 2 }
    }

    /// The work failed.
    pub fn failed(message: impl Into<String>) -> CliError {
        CliError { message: message.into(), help: None, code: 1 }
    }

    /// With advice.
    pub fn help(mut self, help: impl Into<String>) -> CliError {
        self.help = Some(help.into());
        self
    }

    /// The process's exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

impl From<InputError> for CliError {
    fn from(error: InputError) -> CliError {
        CliError::usage(error.to_string())
    }
}

impl From<tonic::Status> for CliError {
    fn from(status: tonic::Status) -> CliError {
        match status.code() {
            tonic::Code::NotFound | tonic::Code::InvalidArgument => CliError::usage(status.message()),
            tonic::Code::Unavailable => CliError::failed(format!("the coordinator went away: {}", status.message()))
                .help("the experiment is not lost: start the coordinator again, it goes on where it stopped"),
            _ => CliError::failed(status.message()),
        }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> CliError {
        CliError::failed(error.to_string())
    }
}
