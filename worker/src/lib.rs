//! Pleach's worker: does what leases say and decides nothing.
#![recursion_limit = "256"] // wgpu's types nest deeper than the default allows

pub mod agent;
pub mod bench;
pub mod compute;
pub mod criteria;
pub mod error;
pub mod execute;
pub mod measure;
pub mod model;
pub mod surgery;
pub mod training;
