//! Latency on this machine.

use crate::error::TaskError;
use crate::model::{Mode, NetworkModule, Value, random_weights};
use crate::surgery::fold;
use burn::tensor::{Device, Tensor, TensorData};
use pleach_shared::network::{Network, Op};
use pleach_shared::task::Latency;
use std::time::{Duration, Instant};

/// What runs a network while it is timed. One implementation a runtime.
pub trait Engine {
    /// One inference at batch 1, finished when it returns.
    fn infer(&mut self) -> Result<(), TaskError>;

    /// Threads that it uses.
    fn threads(&self) -> usize;
}

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// At least this long before the first counted run.
    pub warm_up: Duration,
    /// At least this many counted runs.
    pub runs: usize,
    /// At least this long in counted runs.
    pub time: Duration,
    /// At most this long in all, however slow the network is.
    pub limit: Duration,
}

impl Default for Effort {
    fn default() -> Effort {
        Effort { warm_up: Duration::from_millis(40), runs: 30, time: Duration::from_millis(200), limit: Duration::from_secs(20) }
    }
}

/// Times an engine: warm-up, then repeated runs, each timed on its own.
///
/// # Errors
/// When the engine fails.
pub fn measure(engine: &mut dyn Engine, effort: Effort) -> Result<Latency, TaskError> {
    let start = Instant::now();
    loop {
        engine.infer()?;
        if start.elapsed() >= effort.warm_up {
            break;
        }
    }
    let mut samples: Vec<f64> = Vec::new();
    let counted = Instant::now();
    while samples.len() < 3 || ((samples.len() < effort.runs || counted.elapsed() < effort.time) && start.elapsed() < effort.limit) {
        let run = Instant::now();
        engine.infer()?;
        samples.push(run.elapsed().as_secs_f64() * 1e3);
    }
    Ok(statistics(samples, engine.threads()))
}

/// Median and spread of times in milliseconds; there is at least one.
fn statistics(mut samples: Vec<f64>, threads: usize) -> Latency {
    samples.sort_by(f64::total_cmp);
    let median_ms = quantile(&samples, 0.5);
    let mut deviations: Vec<f64> = samples.iter().map(|sample| (sample - median_ms).abs()).collect();
    deviations.sort_by(f64::total_cmp);
    Latency {
        median_ms,
        mad_ms: quantile(&deviations, 0.5),
        min_ms: samples[0],
        p10_ms: quantile(&samples, 0.1),
        p90_ms: quantile(&samples, 0.9),
        runs: samples.len(),
        threads,
    }
}

fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * place.fract()
}

/// The worker's own engine: Burn, batch norms folded, random weights (latency does not depend on them).
pub struct BurnEngine {
    module: NetworkModule,
    inputs: Vec<Value>,
    device: Device,
}

impl BurnEngine {
    /// Prepares a network.
    ///
    /// # Errors
    /// When the network does not fit together.
    pub fn new(network: &Network, device: &Device) -> Result<BurnEngine, TaskError> {
        let module = NetworkModule::load(&fold(&random_weights(network, 0)?), device)?;
        let mut inputs = Vec::new();
        for id in network.inputs() {
            let Op::Input { shape } = &network.layers[id].op else { continue };
            let count: usize = shape.iter().product();
            // Values as activations have: around zero, none of them special.
            let data: Vec<f32> = (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
            inputs.push(match shape.as_slice() {
                &[channels, height, width] => Value::Map(Tensor::from_data(TensorData::new(data, [1, channels, height, width]), device)),
                _ => Value::Vector(Tensor::from_data(TensorData::new(data, [1, count]), device)),
            });
        }
        Ok(BurnEngine { module, inputs, device: device.clone() })
    }
}

impl Engine for BurnEngine {
    fn infer(&mut self) -> Result<(), TaskError> {
        let output = self.module.run(self.inputs.clone(), Mode::Evaluate, |_, value| value);
        self.device.sync().map_err(|error| TaskError::Device(format!("{error:?}")))?;
        drop(output);
        Ok(())
    }

    fn threads(&self) -> usize {
        rayon::current_num_threads()
    }
}

/// Latency of a network or a segment on the device `device`. On a CPU it runs on one thread: dependable on shared
/// machines, and what small boards have to spare.
///
/// # Errors
/// When the network does not fit together or the device fails.
pub fn latency(network: &Network, device: &Device) -> Result<Latency, TaskError> {
    let mut engine = BurnEngine::new(network, device)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|error| TaskError::Device(error.to_string()))?;
    // The whole measurement moves to the pool's thread: handing over every run would cost a segment as much as it takes.
    pool.install(|| measure(&mut engine, Effort::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_what_a_noisy_neighbour_does_to_a_few_runs() {
        let latency = statistics(vec![2.0, 1.0, 1.1, 50.0, 1.0], 1);
        assert_eq!((latency.median_ms, latency.min_ms, latency.runs), (1.1, 1.0, 5));
        assert!((latency.mad_ms - 0.1).abs() < 1e-9);
    }

    #[test]
    fn an_engine_is_warmed_up_and_run_as_often_as_asked() {
        struct Counting(usize);
        impl Engine for Counting {
            fn infer(&mut self) -> Result<(), TaskError> {
                self.0 += 1;
                Ok(())
            }
            fn threads(&self) -> usize {
                1
            }
        }
        let mut engine = Counting(0);
        let effort = Effort { warm_up: Duration::ZERO, runs: 40, time: Duration::ZERO, limit: Duration::from_secs(60) };
        let latency = measure(&mut engine, effort).unwrap();
        assert_eq!((latency.runs, engine.0), (40, 41));
    }

    #[test]
    fn a_segment_with_two_inputs_is_measured() {
        use pleach_shared::network::zoo;
        let network = zoo::resnet(20, 0.25, zoo::ShortcutKind::A, [3, 8, 8], 10).unwrap();
        for segment in network.segments().unwrap() {
            assert!(latency_of(&segment.network) > 0.0, "{}", segment.head);
        }
        fn latency_of(network: &Network) -> f64 {
            let effort = Effort { warm_up: Duration::ZERO, runs: 1, time: Duration::ZERO, limit: Duration::ZERO };
            measure(&mut BurnEngine::new(network, &Device::flex()).unwrap(), effort).unwrap().median_ms
        }
    }
}
