//! Which message may come when. Pure: no I/O, no protobuf.

/// A message of the proxy, as far as order is concerned. `last` is `end_of_stream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    RequestHeaders { last: bool },
    RequestBody { last: bool },
    RequestTrailers,
    ResponseHeaders { last: bool },
    ResponseBody { last: bool, empty: bool },
    ResponseTrailers,
}

/// How far one direction has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Side {
    #[default]
    Waiting,
    Body,
    Done,
}

/// The order of one stream's messages.
#[derive(Debug, Default)]
pub(super) struct Order {
    request: Side,
    response: Side,
    /// An ImmediateResponse has been sent: nothing may follow.
    closed: bool,
}

/// The message may not come now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unexpected message {0:?}")]
pub(super) struct Illegal(Event);

impl Order {
    /// Takes note of `event`, or refuses it.
    pub fn accept(&mut self, event: Event) -> Result<(), Illegal> {
        let next = |last: bool| if last { Side::Done } else { Side::Body };
        if self.closed {
            return Err(Illegal(event));
        }
        match (event, self.request, self.response) {
            (Event::RequestHeaders { last }, Side::Waiting, Side::Waiting) => self.request = next(last),
            (Event::RequestBody { last }, Side::Body, _) => self.request = next(last),
            (Event::RequestTrailers, Side::Body, _) => self.request = Side::Done,
            (Event::ResponseHeaders { last }, Side::Body | Side::Done, Side::Waiting) => {
                self.response = next(last)
            }
            (Event::ResponseBody { last, .. }, _, Side::Body) => self.response = next(last),
            // Envoy may repeat the end of a body.
            (Event::ResponseBody { last: true, empty: true }, _, Side::Done) => {}
            (Event::ResponseTrailers, _, Side::Body) => self.response = Side::Done,
            _ => return Err(Illegal(event)),
        }
        Ok(())
    }

    /// Whether the response has come to its end: what Envoy says after that, it says again.
    pub fn response_is_over(&self) -> bool {
        self.response == Side::Done
    }

    /// An ImmediateResponse was sent.
    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether nothing is owed when the proxy ends the stream now: the call was refused, its response never
    /// came to us, or came to its end.
    pub fn may_end(&self) -> bool {
        self.closed || (self.request != Side::Waiting && self.response != Side::Body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [Event; 9] = [
        Event::RequestHeaders { last: false },
        Event::RequestHeaders { last: true },
        Event::RequestBody { last: false },
        Event::RequestBody { last: true },
        Event::RequestTrailers,
        Event::ResponseHeaders { last: false },
        Event::ResponseBody { last: false, empty: false },
        Event::ResponseBody { last: true, empty: false },
        Event::ResponseTrailers,
    ];

    fn run(events: &[Event]) -> Result<Order, Illegal> {
        let mut order = Order::default();
        events.iter().try_for_each(|event| order.accept(*event)).map(|()| order)
    }

    #[test]
    fn whole_calls_are_legal() {
        use Event::*;
        let (body, end) =
            (ResponseBody { last: false, empty: false }, ResponseBody { last: true, empty: true });
        for events in [
            &[RequestHeaders { last: true }, ResponseHeaders { last: false }, body, body, end, end][..],
            &[RequestHeaders { last: false }, RequestBody { last: true }, ResponseHeaders { last: true }],
            // A streamed request may still come while its response has begun.
            &[
                RequestHeaders { last: false },
                ResponseHeaders { last: false },
                RequestBody { last: false },
                body,
                end,
            ],
            &[
                RequestHeaders { last: false },
                RequestTrailers,
                ResponseHeaders { last: false },
                body,
                ResponseTrailers,
            ],
        ] {
            assert!(run(events).unwrap().may_end(), "{events:?}");
        }
    }

    /// Every pair that does not stand here is refused: the table is the whole truth of what may follow what.
    #[test]
    fn only_headers_begin_and_nothing_comes_twice() {
        for first in EVENTS {
            let legal = matches!(first, Event::RequestHeaders { .. });
            assert_eq!(run(&[first]).is_ok(), legal, "{first:?}");
        }
        for second in EVENTS {
            let open = run(&[Event::RequestHeaders { last: false }, second]).is_ok();
            let legal = !matches!(
                second,
                Event::RequestHeaders { .. } | Event::ResponseBody { .. } | Event::ResponseTrailers
            );
            assert_eq!(open, legal, "{second:?}");
            let ended = run(&[Event::RequestHeaders { last: true }, second]).is_ok();
            assert_eq!(ended, matches!(second, Event::ResponseHeaders { .. }), "{second:?}");
        }
        for after_end in EVENTS {
            let events = [
                Event::RequestHeaders { last: true },
                Event::ResponseHeaders { last: false },
                Event::ResponseBody { last: true, empty: false },
                after_end,
            ];
            assert!(run(&events).is_err(), "{after_end:?}");
        }
    }

    #[test]
    fn nothing_follows_an_immediate_response() {
        for event in EVENTS {
            let mut order = run(&[Event::RequestHeaders { last: false }]).unwrap();
            order.close();
            assert!(order.accept(event).is_err());
        }
    }

    #[test]
    fn an_unfinished_body_may_not_end() {
        let order =
            run(&[Event::RequestHeaders { last: true }, Event::ResponseHeaders { last: false }]).unwrap();
        assert!(!order.may_end());
        assert!(!Order::default().may_end());
    }
}
