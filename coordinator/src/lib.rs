//! Pleach's coordinator: decides what to run, where, and keeps the results. It never touches a tensor.

pub mod cli;
pub mod report;
pub mod run;
pub mod schedule;
pub mod search;
pub mod service;
pub mod store;
pub mod submit;
