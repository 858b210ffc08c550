//! Keys and their backends, kept outside the books: hashing, comparing and dropping a key is
//! somebody else's code, and never runs under a lock.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use super::KeyedObserver;
use super::core::{KeyId, KeyedCore};
use crate::domain::{Domain, LocalChecks};
use crate::event::Event;
use crate::locate::Locate;
use crate::shared::Shared;
use crate::sync::primitives::Mutex;

type MakeBackend<K, P> = Box<dyn Fn(&K) -> P + Send + Sync>;

/// A pool of a backend for each key.
#[doc(hidden)]
#[allow(missing_debug_implementations)]
pub struct Keyed<K, P> {
    make: MakeBackend<K, P>,
    hasher: RandomState,
    index: Mutex<Index<K, P>>,
    observer: Option<Arc<dyn KeyedObserver<K>>>,
}

/// Keys by their hash.
type Index<K, P> = HashMap<u64, Same<K, P>, BuildHasherDefault<Hashed>>;

/// The keys of one hash: hardly ever more than one, so that one costs no search elsewhere.
struct Same<K, P> {
    first: Known<K, P>,
    others: Vec<Known<K, P>>,
}

type Known<K, P> = (KeyId, Arc<Member<K, P>>);

impl<K, P> Same<K, P> {
    fn get(&self, nth: usize) -> Option<&Known<K, P>> {
        if nth == 0 { Some(&self.first) } else { self.others.get(nth - 1) }
    }

    fn all(&self) -> impl Iterator<Item = &Known<K, P>> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

/// Takes a hash for what it is.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only hashes are hashed");
    }
}

/// A key and its backend.
#[doc(hidden)]
#[allow(missing_debug_implementations)]
pub struct Member<K, P> {
    pub(crate) key: K,
    pub(crate) hash: u64,
    pub(crate) backend: P,
}

/// A place in the books that a key may or may not have.
pub(crate) type Places<K, P> = Vec<Option<Arc<Member<K, P>>>>;

impl<K, P> Keyed<K, P>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    P: LocalChecks,
{
    pub(crate) fn new(
        make: MakeBackend<K, P>,
        observer: Option<Arc<dyn KeyedObserver<K>>>,
    ) -> Self {
        let index = Mutex::new(HashMap::default());
        Self { make, hasher: RandomState::new(), index, observer }
    }

    /// The key's place in the books, if it is known.
    pub(crate) fn find(&self, key: &K) -> Option<(KeyId, Arc<Member<K, P>>)> {
        self.find_hashed(key, self.hasher.hash_one(key))
    }

    fn find_hashed(&self, key: &K, hash: u64) -> Option<(KeyId, Arc<Member<K, P>>)> {
        for nth in 0.. {
            let (id, member) = {
                let index = self.index.lock();
                let (id, member) = index.get(&hash)?.get(nth)?;
                (*id, Arc::clone(member))
            };
            if member.key == *key {
                return Some((id, member));
            }
        }
        None
    }

    /// Adds a key unless somebody else was quicker.
    fn insert(&self, id: KeyId, member: &Arc<Member<K, P>>) -> bool {
        let known = self.index.lock().get(&member.hash).map_or(0, |same| same.all().count());
        if self.find_hashed(&member.key, member.hash).is_some() {
            return false;
        }
        let new = (id, Arc::clone(member));
        match self.index.lock().entry(member.hash) {
            Entry::Vacant(vacant) => {
                let unchanged = known == 0;
                if unchanged {
                    vacant.insert(Same { first: new, others: Vec::new() });
                }
                unchanged
            }
            Entry::Occupied(mut same) => {
                let unchanged = same.get().all().count() == known;
                if unchanged {
                    same.get_mut().others.push(new);
                }
                unchanged
            }
        }
    }

    fn remove(&self, id: KeyId, hash: u64) -> Option<Arc<Member<K, P>>> {
        let mut index = self.index.lock();
        let same = index.get_mut(&hash)?;
        if same.first.0 != id {
            let place = same.others.iter().position(|(other, _)| *other == id)?;
            return Some(same.others.swap_remove(place).1);
        }
        let removed = match same.others.pop() {
            Some(next) => std::mem::replace(&mut same.first, next),
            None => index.remove(&hash)?.first,
        };
        Some(removed.1)
    }

    /// All keys known now, with their places.
    pub(crate) fn all(&self) -> Vec<(KeyId, Arc<Member<K, P>>)> {
        let index = self.index.lock();
        index.values().flat_map(Same::all).map(|(id, member)| (*id, Arc::clone(member))).collect()
    }
}

impl<K, P> Domain for Keyed<K, P>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    P: LocalChecks,
{
    type Backend = P;
    type Key = KeyId;
    type Place = Arc<Member<K, P>>;
    type Machine = KeyedCore<P::Session, Arc<P::Error>>;
    type Places = Places<K, P>;

    fn index(key: KeyId) -> usize {
        key.index as usize
    }

    fn backend<'a>(&'a self, place: &'a Arc<Member<K, P>>) -> &'a P {
        &place.backend
    }

    fn place(places: &Places<K, P>, key: KeyId) -> Option<Arc<Member<K, P>>> {
        places.get(key.index as usize)?.clone()
    }

    fn forget(&self, places: &mut Places<K, P>, key: KeyId) -> Option<Arc<Member<K, P>>> {
        places.get_mut(key.index as usize)?.take()
    }

    fn forgotten(&self, key: KeyId, place: Arc<Member<K, P>>) {
        drop((self.remove(key, place.hash), place));
    }

    fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    fn observe(&self, place: &Arc<Member<K, P>>, event: &Event) {
        if let Some(observer) = &self.observer {
            observer.on_event(&place.key, event);
        }
    }
}

/// Finds the core of a key, and makes one where the key is new.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct ByKey<K>(pub(crate) K);

impl<K, P> Locate<Keyed<K, P>> for ByKey<K>
where
    K: Eq + Hash + Clone + Send + Sync + 'static,
    P: LocalChecks,
{
    fn locate(&self, shared: &Shared<Keyed<K, P>>) -> Option<(KeyId, Arc<Member<K, P>>)> {
        let domain = &shared.domain;
        let hash = domain.hasher.hash_one(&self.0);
        loop {
            if let Some(known) = domain.find_hashed(&self.0, hash) {
                return Some(known);
            }
            let backend = (domain.make)(&self.0);
            let member = Arc::new(Member { key: self.0.clone(), hash, backend });
            let id = shared.with(|state, now| {
                let id = state.machine.open_key(now)?;
                let index = id.index as usize;
                if index >= state.places.len() {
                    state.places.resize(index + 1, None);
                }
                state.places[index] = Some(Arc::clone(&member));
                Some(id)
            })?;
            if domain.insert(id, &member) {
                return Some((id, member));
            }
            // Whoever was quicker is found now; what was made here is forgotten in a while.
        }
    }

    fn lost(&self, shared: &Shared<Keyed<K, P>>, key: KeyId, place: &Arc<Member<K, P>>) {
        drop(shared.domain.remove(key, place.hash));
    }
}
