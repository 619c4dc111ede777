//! From a task to its outcome.

use crate::compute::Compute;
use crate::criteria::{Observed, observe};
use crate::error::TaskError;
use crate::measure::latency;
use crate::model::random_weights;
use crate::surgery;
use crate::training::{Dataset, Progress, Training, evaluate, train};
use pleach_shared::model::Model;
use pleach_shared::spec::{Criterion, Recipe};
use pleach_shared::task::{BlobId, DataRef, Evaluate, Outcome, Prune, Start, Task, Trained};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Where blobs come from and go to.
pub trait Blobs {
    /// The bytes of a blob.
    ///
    /// # Errors
    /// When they cannot be had.
    fn get(&self, blob: BlobId) -> Result<Arc<Vec<u8>>, TaskError>;

    /// Stores bytes.
    ///
    /// # Errors
    /// When they cannot be stored.
    fn put(&self, bytes: Vec<u8>) -> Result<BlobId, TaskError>;
}

/// What a criterion looked at: a model, through which criterion, with which data.
type Sight = (BlobId, Criterion, DataRef);

/// Does tasks on one compute device. Slots share it, and with it the data set decoded last.
#[derive(Debug)]
pub struct Executor {
    compute: Compute,
    dataset: Mutex<Option<(DataRef, Arc<Dataset>)>>,
    /// What the last criterion saw: every group and ratio of a scan looks at the same.
    observed: Mutex<Option<(Sight, Arc<Observed>)>>,
}

impl Executor {
    /// An executor for a device.
    pub fn new(compute: Compute) -> Executor {
        Executor { compute, dataset: Mutex::new(None), observed: Mutex::new(None) }
    }

    /// Does a task.
    ///
    /// # Errors
    /// As the task has it; also when `progress` says stop.
    pub fn execute(&self, task: &Task, blobs: &dyn Blobs, progress: &Progress<'_>) -> Result<Outcome, TaskError> {
        let device = self.compute.device();
        let load = |blob| -> Result<Model, TaskError> { Ok(Model::decode(&blobs.get(blob)?)?) };
        let finish = |data: &Dataset, model: &Model, kept, recipe: &Recipe, seed| -> Result<Outcome, TaskError> {
            let steps = recipe.length.steps(data.splits.train.len(), recipe.batch);
            let training = match steps {
                // Pruning alone needs no training images.
                0 => Training { model: model.clone(), steps, loss: 0.0 },
                _ => train(model, data, recipe, seed, &device, progress)?,
            };
            let evaluation = evaluate(&training.model, data, &data.splits.holdout, &device, progress)?;
            let nonzero = (!training.model.masks.is_empty()).then(|| training.model.nonzero_cost()).transpose()?;
            let model = blobs.put(training.model.encode()?)?;
            Ok(Outcome::Trained(Trained { model, kept, nonzero, evaluation, steps: training.steps, train_loss: training.loss }))
        };
        match task {
            Task::Train(task) => {
                let data = self.dataset(&task.data, blobs)?;
                let model = match &task.start {
                    Start::Network(network) => random_weights(network, task.seed)?,
                    Start::Model(blob) => load(*blob)?,
                };
                finish(&data, &model, BTreeMap::new(), &task.recipe, task.seed)
            }
            Task::Adapt(task) => {
                let data = self.dataset(&task.data, blobs)?;
                let model = load(task.model)?;
                let observed = self.observe(&task.prune, task.model, &model, &task.data, &data, progress)?;
                let (model, kept) = surgery::prune(&task.prune, &model, &observed)?;
                finish(&data, &model, kept, &task.recipe, task.seed)
            }
            Task::Evaluate(Evaluate { model: blob, prune, data: reference, split }) => {
                let data = self.dataset(reference, blobs)?;
                let mut model = load(*blob)?;
                if let Some(prune) = prune {
                    let observed = self.observe(prune, *blob, &model, reference, &data, progress)?;
                    model = surgery::prune(prune, &model, &observed)?.0;
                }
                Ok(Outcome::Evaluated(evaluate(&model, &data, data.splits.get(*split), &device, progress)?))
            }
            Task::Measure(task) => Ok(Outcome::Measured(latency(&task.network, &device)?)),
        }
    }

    /// What the criterion of `prune` sees of a model and its data.
    fn observe(
        &self,
        prune: &Prune,
        blob: BlobId,
        model: &Model,
        reference: &DataRef,
        data: &Dataset,
        progress: &Progress<'_>,
    ) -> Result<Arc<Observed>, TaskError> {
        let criterion = prune.criterion();
        if !criterion.importance.needs_data() {
            return Ok(Arc::default());
        }
        let sight = (blob, criterion, reference.clone());
        let mut cached = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, observed)) = &*cached
            && *known == sight
        {
            return Ok(observed.clone());
        }
        let observed = Arc::new(observe(criterion, model, data, &self.compute.device(), progress)?);
        *cached = Some((sight, observed.clone()));
        Ok(observed)
    }

    fn dataset(&self, data: &DataRef, blobs: &dyn Blobs) -> Result<Arc<Dataset>, TaskError> {
        // Held while decoding, so that two slots that need the same data decode them once.
        let mut cached = self.dataset.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, dataset)) = &*cached
            && known == data
        {
            return Ok(dataset.clone());
        }
        let bytes = data.files.iter().map(|file| blobs.get(file.blob)).collect::<Result<Vec<_>, _>>()?;
        let bytes: Vec<&[u8]> = bytes.iter().map(|bytes| bytes.as_slice()).collect();
        let dataset = Arc::new(Dataset::open(data, &bytes)?);
        *cached = Some((data.clone(), dataset.clone()));
        Ok(dataset)
    }
}
