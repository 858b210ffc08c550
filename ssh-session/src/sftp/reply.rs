//! A call's part in a conversation: its place in the queue, its room in the window, its answer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::answer::Answer;
use super::conversation::{Conversation, WINDOW, Wanted};
use super::request::{COST, Request};
use crate::SshError;

impl Conversation {
    /// Waits for room for something of that size, in turn.
    ///
    /// Whoever has answers lying that are [large](Wanted::Answered) must not wait: theirs may be the
    /// room that everybody waits for.
    pub(super) async fn room(self: &Arc<Self>, cost: usize) -> Result<Room, SshError> {
        let mut place = Place { conversation: self, ticket: None };
        poll_fn(|context| place.poll(cost, context)).await?;
        Ok(Room { conversation: Arc::clone(self), cost })
    }

    /// Room for something of that size, if there is some and nobody waits for it.
    pub(super) fn room_now(self: &Arc<Self>, cost: usize) -> Option<Room> {
        let mut state = self.lock();
        if !state.queue.is_empty() || state.in_flight + cost > WINDOW {
            return None;
        }
        state.in_flight += cost;
        Some(Room { conversation: Arc::clone(self), cost })
    }

    /// Room for something of that size, whether or not there is any: for who has just given back
    /// as much.
    pub(super) fn room_again(self: &Arc<Self>, cost: usize) -> Room {
        self.lock().in_flight += cost;
        Room { conversation: Arc::clone(self), cost }
    }
}

/// A place in the queue for room.
struct Place<'c> {
    conversation: &'c Arc<Conversation>,
    ticket: Option<u64>,
}

impl Place<'_> {
    fn poll(&mut self, cost: usize, context: &Context<'_>) -> Poll<Result<(), SshError>> {
        let mut state = self.conversation.lock();
        if let Some(end) = &state.end {
            return Poll::Ready(Err(end.clone()));
        }
        let first = match self.ticket {
            Some(ticket) => state.queue.first_key_value().is_none_or(|(first, _)| *first >= ticket),
            None => state.queue.is_empty(),
        };
        // One alone may be larger than the window.
        if first && (state.in_flight == 0 || state.in_flight + cost <= WINDOW) {
            if let Some(ticket) = self.ticket.take() {
                state.queue.remove(&ticket);
            }
            state.in_flight += cost;
            let next = state.queue.values().next().cloned();
            drop(state);
            next.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(()));
        }
        let ticket = *self.ticket.get_or_insert_with(|| {
            state.last_ticket += 1;
            state.last_ticket
        });
        state.queue.insert(ticket, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut wakers = Vec::new();
        let mut state = self.conversation.lock();
        state.queue.remove(&ticket);
        state.leave(0, &mut wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Part of the window, given back with the answer to what is sent in it, or when dropped.
pub(super) struct Room {
    conversation: Arc<Conversation>,
    cost: usize,
}

impl Room {
    /// What it takes, which is the request's from now on.
    pub(super) fn take(&mut self) -> usize {
        std::mem::take(&mut self.cost)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.cost > 0 {
            let mut wakers = Vec::new();
            self.conversation.lock().leave(self.cost, &mut wakers);
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// The answer to come to a request.
pub(super) struct Reply {
    conversation: Arc<Conversation>,
    id: u32,
}

impl Reply {
    pub(super) fn new(conversation: &Arc<Conversation>, id: u32) -> Self {
        Self { conversation: Arc::clone(conversation), id }
    }
}

impl Future for Reply {
    type Output = Result<Answer, SshError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut guard = self.conversation.lock();
        let state = &mut *guard;
        let Some(pending) = state.pending.get_mut(&self.id) else {
            // Polled again after its end.
            return Poll::Pending;
        };
        match (&mut pending.wanted, &state.end) {
            (Wanted::Answered(_), _) => {}
            (_, Some(error)) => return Poll::Ready(Err(error.clone())),
            (wanted, None) => {
                *wanted = Wanted::By(Some(context.waker().clone()));
                return Poll::Pending;
            }
        }
        let taken = state.pending.remove(&self.id);
        let mut wakers = Vec::new();
        state.leave(taken.as_ref().map_or(0, |pending| pending.cost), &mut wakers);
        drop(guard);
        wakers.into_iter().for_each(Waker::wake);
        match taken.map(|pending| pending.wanted) {
            Some(Wanted::Answered(answer)) => Poll::Ready(Ok(answer)),
            _ => Poll::Pending,
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        let mut guard = self.conversation.lock();
        let state = &mut *guard;
        let Some(pending) = state.pending.get_mut(&self.id) else { return };
        match std::mem::replace(&mut pending.wanted, Wanted::Forgotten) {
            Wanted::Answered(answer) => {
                let (opens, cost) = (pending.opens, pending.cost);
                state.leave(cost, &mut wakers);
                state.pending.remove(&self.id);
                if let Answer::Handle(handle) = answer
                    && opens
                {
                    state.in_flight += COST;
                    state.ask(&Request::Close { handle: &handle }, Wanted::Forgotten, COST);
                }
            }
            _ if state.end.is_some() => {
                state.pending.remove(&self.id);
            }
            _ => {}
        }
        drop(guard);
        wakers.into_iter().for_each(Waker::wake);
    }
}
