// The event socket: follows the sandbox, resumes where it was cut, reads everything anew when it cannot.

import { eventsUrl, get } from "./api.js";
import { apply, readAll, store, tell } from "./store.js";

const RETRY_S_MAX = 5;

// The last event that was applied. Its time tells a restarted server, whose numbers begin anew, from the one we knew.
let anchor = null;
let seq = 0;
let failures = 0;

function show(connected) {
  if (store.connected === connected) return;
  store.connected = connected;
  tell("connection");
}

const pause = () => new Promise((go) => setTimeout(go, Math.min(RETRY_S_MAX, 0.25 * 2 ** failures) * 1000));

async function readAnew() {
  anchor = null;
  seq = await readAll();
}

/** Follows one socket until it closes. `check` is the event that must come first, or null. */
function follow(since, check) {
  return new Promise((ended) => {
    const socket = new WebSocket(eventsUrl(since));
    let expected = check;
    let queue = Promise.resolve();
    const take = async (event) => {
      if (expected) {
        const same = event.seq === expected.seq && event.at === expected.at;
        expected = null;
        if (same) return;
        await readAnew();
        socket.close();
        return;
      }
      if (event.type === "gap" || event.type === "reset") {
        await readAnew();
        seq = Math.max(seq, event.seq);
        return;
      }
      if (event.seq >= seq) anchor = { seq: event.seq, at: event.at };
      if (event.seq <= seq) return; // what was read already holds it
      seq = event.seq;
      apply(event);
    };
    socket.addEventListener("open", () => {
      failures = 0;
      show(true);
    });
    socket.addEventListener("message", ({ data }) => {
      const event = JSON.parse(data);
      queue = queue.then(() => take(event)).catch(() => socket.close());
    });
    socket.addEventListener("close", () => queue.then(ended));
  });
}

/** Runs for as long as the page is open. */
export async function live() {
  let known = false;
  for (;;) {
    try {
      if (known && anchor && (await get("state")).last_seq >= anchor.seq) {
        await follow(anchor.seq - 1, anchor);
      } else {
        await readAnew();
        known = true;
        await follow(Math.max(0, seq - 1), null); // from the last event on, so that there is an anchor at once
      }
    } catch {
      // The server is away; the next round tries again.
    }
    show(false);
    await pause();
    failures += 1;
  }
}
