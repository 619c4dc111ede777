//! Why a task fails.

use pleach_shared::data::DataError;
use pleach_shared::model::ModelError;
use pleach_shared::network::ShapeError;
use pleach_shared::plan::PlanError;
use pleach_shared::task::BlobId;
use thiserror::Error;

/// A task that could not be done.
#[derive(Debug, Error)]
pub enum TaskError {
    /// The network does not fit together.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The plan does not fit the network.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The model file is none, or not this network's.
    #[error("model: {0}")]
    Model(#[from] ModelError),
    /// The data set cannot be read.
    #[error("data: {0}")]
    Data(#[from] DataError),
    /// The data set was cut otherwise than the experiment recorded.
    #[error("the data's splits differ from those that the experiment recorded; worker and coordinator must be of one version")]
    Splits,
    /// The data do not fit the network.
    #[error("{0}")]
    Mismatch(String),
    /// The loss is no number any more.
    #[error("training diverged: the loss is {loss} at step {step} of {steps}; lower the learning rate or add warm-up steps")]
    Diverged {
        /// The loss read.
        loss: f32,
        /// Where.
        step: usize,
        /// Of how many.
        steps: usize,
    },
    /// A blob could not be fetched or stored.
    #[error("blob {blob}: {error}")]
    Blob {
        /// Which.
        blob: BlobId,
        /// Why.
        error: String,
    },
    /// The compute device failed.
    #[error("device: {0}")]
    Device(String),
    /// The task's bytes are none that this worker knows.
    #[error("cannot read the task: {0}; worker and coordinator must be of one version")]
    Unknown(String),
    /// Nobody needs the result any more.
    #[error("the coordinator took the task back")]
    Revoked,
}

impl TaskError {
    /// Whether another try may end otherwise.
    pub fn is_transient(&self) -> bool {
        matches!(self, TaskError::Blob { .. } | TaskError::Device(_))
    }
}
