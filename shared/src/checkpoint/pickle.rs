//! A machine for the part of Python's pickle language that state dicts use. It builds values and calls nothing.
//!
//! Every opcode makes at most one object, and those that copy pay from a budget, so a pickle
//! cannot ask for more memory than a multiple of its own length.

use super::globals::Global;
use super::reader::Reader;
use super::value::{Id, Object, Pickled, Storage, TensorRef, Value};
use super::{CheckpointError, opcodes};
use std::collections::HashMap;

/// The most instructions that are run: a tensor takes about 35, an entry of a list one.
const MAX_STEPS: usize = 1 << 23;

/// PyTorch's own bound on axes.
const MAX_RANK: usize = 64;

/// Runs one pickle, and leaves the reader behind its end.
pub(super) fn run<'a>(reader: &mut Reader<'a>) -> Result<Pickled<'a>, CheckpointError> {
    let budget = reader.rest().len();
    let pickled = Pickled { objects: Vec::new(), root: Value::Opaque };
    let mut machine = Machine { reader, pickled, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), budget };
    for _ in 0..MAX_STEPS {
        if let Some(root) = opcodes::step(&mut machine)? {
            machine.pickled.root = root;
            return Ok(machine.pickled);
        }
    }
    Err(CheckpointError::TooLarge { what: format!("pickle of over {MAX_STEPS} instructions"), limit: MAX_STEPS as u64 })
}

/// The state between two instructions.
pub(super) struct Machine<'r, 'a> {
    pub reader: &'r mut Reader<'a>,
    pub pickled: Pickled<'a>,
    stack: Vec<Value>,
    marks: Vec<usize>,
    pub memo: HashMap<u32, Value>,
    /// Entries that may still be copied: no honest pickle copies more of them than it has bytes.
    budget: usize,
}

impl<'a> Machine<'_, 'a> {
    pub fn broken<T>(&self, reason: impl Into<String>) -> Result<T, CheckpointError> {
        Err(CheckpointError::Pickle { at: self.reader.at().saturating_sub(1), reason: reason.into() })
    }

    pub fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    pub fn push_object(&mut self, object: Object<'a>) {
        let id = self.pickled.objects.len() as Id;
        self.pickled.objects.push(object);
        self.push(Value::Object(id));
    }

    pub fn mark(&mut self) {
        self.marks.push(self.stack.len());
    }

    /// Values under the last mark belong to someone else.
    pub fn pop(&mut self) -> Result<Value, CheckpointError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => self.stack.pop().map_or_else(|| self.broken("expected a value on the stack"), Ok),
            false => self.broken("expected a value on the stack"),
        }
    }

    pub fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, CheckpointError> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= floor => Ok(self.stack.split_off(start)),
            _ => self.broken(format!("expected {count} values on the stack")),
        }
    }

    pub fn pop_to_mark(&mut self) -> Result<Vec<Value>, CheckpointError> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => self.broken("expected a mark on the stack"),
        }
    }

    pub fn peek(&self) -> Option<Value> {
        self.stack.last().copied()
    }

    /// `POP` also takes a mark away if that is what lies on top.
    pub fn pop_any(&mut self) -> Result<(), CheckpointError> {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    /// Adds to the list on top of the stack.
    pub fn append(&mut self, items: Vec<Value>) -> Result<(), CheckpointError> {
        match self.peek() {
            Some(Value::Opaque) => Ok(()),
            Some(Value::Object(id)) => match self.pickled.objects.get_mut(id as usize) {
                Some(Object::List(list)) => {
                    list.extend(items);
                    Ok(())
                }
                _ => self.broken("expected a list"),
            },
            _ => self.broken("expected a list"),
        }
    }

    /// Adds keys and values, in turn, to the mapping on top of the stack.
    pub fn set_items(&mut self, items: &[Value]) -> Result<(), CheckpointError> {
        let (pairs, rest) = items.as_chunks();
        if !rest.is_empty() {
            return self.broken("expected a value for every key");
        }
        match self.peek() {
            Some(Value::Opaque) => Ok(()),
            Some(Value::Object(id)) => match self.pickled.objects.get_mut(id as usize) {
                Some(Object::Dict(dict)) => {
                    dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
                    Ok(())
                }
                _ => self.broken("expected a dict"),
            },
            _ => self.broken("expected a dict"),
        }
    }

    /// A name: from the list, or refused.
    pub fn global(&mut self, module: &str, name: &str) -> Result<Value, CheckpointError> {
        let plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_.<>".contains(c));
        if !plain(module) || !plain(name) {
            return self.broken("expected the name of a class or function");
        }
        if let Some(global) = Global::find(module, name) {
            return Ok(Value::Global(global));
        }
        let full = format!("{module}.{name}");
        // An object is its class, called with nothing, or PyTorch's mark of a module with its source code.
        let of_module = self.peek().and_then(|top| self.pickled.text(top)) == Some("module");
        Err(match of_module || opcodes::makes_object(self.reader.rest()) {
            true => CheckpointError::WholeObject { class: full },
            false => CheckpointError::Refused { global: full },
        })
    }

    /// What a callable gives for its arguments.
    pub fn call(&mut self, callable: Value, arguments: Value) -> Result<(), CheckpointError> {
        let mut global = match callable {
            Value::Global(global) => global,
            Value::Opaque => Global::Opaque,
            _ => return self.broken("expected something to call"),
        };
        let mut arguments = arguments;
        if global == Global::FromType {
            match self.list(arguments)? {
                [Value::Global(inner), _, inner_arguments, ..] if *inner != Global::FromType => {
                    (global, arguments) = (*inner, *inner_arguments)
                }
                _ => return self.broken("expected a tensor and its class"),
            }
        }
        match global {
            Global::Opaque => self.push(Value::Opaque),
            Global::Same => match self.list(arguments)?.first() {
                Some(&value) => self.push(value),
                None => self.broken("expected an argument")?,
            },
            Global::Dict => {
                let pairs = self.pairs(arguments)?;
                self.push_object(Object::Dict(pairs));
            }
            Global::RebuildTensor => {
                let tensor = self.tensor(arguments)?;
                self.push_object(Object::Tensor(tensor));
            }
            Global::Storage(_) | Global::FromType => self.broken("expected something to call")?,
        }
        Ok(())
    }

    fn list(&self, value: Value) -> Result<&[Value], CheckpointError> {
        match self.pickled.object(value) {
            Some(Object::List(list)) => Ok(list),
            _ => self.broken("expected a tuple"),
        }
    }

    fn pairs(&mut self, arguments: Value) -> Result<Vec<(Value, Value)>, CheckpointError> {
        let Some(&Value::Object(list)) = self.list(arguments)?.first() else { return Ok(Vec::new()) };
        let list = self.list(Value::Object(list))?;
        let Some(budget) = self.budget.checked_sub(list.len()) else { return self.broken("expected fewer copies of a list") };
        let pair = |&item: &Value| match self.list(item)? {
            &[key, value] => Ok((key, value)),
            _ => self.broken("expected a key and a value"),
        };
        let pairs = list.iter().map(pair).collect::<Result<_, _>>()?;
        self.budget = budget;
        Ok(pairs)
    }

    fn tensor(&self, arguments: Value) -> Result<TensorRef, CheckpointError> {
        let &[storage, offset, shape, strides, ..] = self.list(arguments)? else {
            return self.broken("expected a tensor's four arguments");
        };
        let Some(Object::Storage(storage)) = self.pickled.object(storage) else { return self.broken("expected a storage") };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() {
            return self.broken(format!("expected a stride for each of {} axes, found {}", shape.len(), strides.len()));
        }
        Ok(TensorRef { storage: *storage, offset: self.size(offset)?, shape, strides })
    }

    fn sizes(&self, value: Value) -> Result<Vec<u64>, CheckpointError> {
        let sizes = self.list(value)?;
        match sizes.len() > MAX_RANK {
            true => self.broken(format!("expected a tensor of at most {MAX_RANK} axes")),
            false => sizes.iter().map(|&size| self.size(size)).collect(),
        }
    }

    fn size(&self, value: Value) -> Result<u64, CheckpointError> {
        match value {
            Value::Int(size) if size >= 0 => Ok(size as u64),
            _ => self.broken("expected a size that is not negative"),
        }
    }

    /// The storage that a persistent id stands for: `("storage", class, key, device, elements, view)`.
    pub fn persistent(&mut self, id: Value) -> Result<(), CheckpointError> {
        let Some((&[kind, class, key, _, numel], view)) = self.list(id)?.split_first_chunk() else {
            return self.broken("expected the persistent id of a storage");
        };
        let (Some("storage"), Value::Global(Global::Storage(dtype)), Value::Object(key_id), Some(_)) =
            (self.pickled.text(kind), class, key, self.pickled.text(key))
        else {
            return self.broken("expected the persistent id of a storage");
        };
        let view = match view.first() {
            Some(view @ Value::Object(_)) => match *self.list(*view)? {
                [_, offset, length] => Some((self.size(offset)?, self.size(length)?)),
                _ => return self.broken("expected a view of a storage"),
            },
            _ => None,
        };
        let storage = Storage { key: key_id, dtype, numel: self.size(numel)?, view };
        self.push_object(Object::Storage(storage));
        Ok(())
    }
}
