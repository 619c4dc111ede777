//! What a client hands to the coordinator: a document with every file that it names turned into blobs.

use crate::network::Network;
use crate::spec::Spec;
use crate::task::{BlobId, DataRef};
use serde::{Deserialize, Serialize};

/// A resolved document. Everything that an experiment's results depend on is in here by value or by hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// The document, defaults filled in.
    pub spec: Spec,
    /// The dense network.
    pub network: Network,
    /// The data set.
    pub data: DataRef,
    /// Weights of the dense network as a model file, where the document names a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<BlobId>,
}

impl Submission {
    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        // Plain data without maps of non-string keys: serialising cannot fail.
        serde_json::to_vec(self).expect("a submission is plain data")
    }

    /// The experiment's id: its name and the start of its content's hash. The same submission is the same experiment.
    pub fn id(&self) -> String {
        let hash = blake3::hash(&self.encode());
        format!("{}-{}", self.spec.name, &hash.to_hex()[..8])
    }
}
