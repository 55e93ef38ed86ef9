// Calls of the server: with the key, and server-sent events as they come.

class ServerFault extends Error {}

async function call(method, path, body, signal) {
  const headers = {};
  const key = kept.get("key", "");
  if (key) headers.authorization = "Bearer " + key;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerFault("The server cannot be reached.");
  }
  if (!answer.ok) {
    const said = await answer.json().catch(() => null);
    const message = said?.error?.message ?? `The server answers ${answer.status}.`;
    throw new ServerFault(answer.status === 401 ? message + " (the button Key)" : message);
  }
  return answer;
}

const get = async (path) => (await call("GET", path)).json();
const post = async (path, body) => (await call("POST", path, body)).json();

/** Each event's data as a value, until [DONE]. An error inside of the stream is thrown. */
async function* events(path, body, signal) {
  const answer = await call("POST", path, body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data === "[DONE]") return;
        const found = JSON.parse(data);
        if (found.error) throw new ServerFault(found.error.message);
        yield found;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Runs a stream and tells `on` of what comes; the times, counts and reason in the end.
    on: {text, reasoning, token}, each optional. */
async function stream(path, body, signal, on) {
  const began = performance.now();
  const found = { first: null, reason: null, usage: null, seconds: 0, rate: null, stopped: false };
  let last = began;
  try {
    for await (const chunk of events(path, { ...body, stream: true, stream_options: { include_usage: true } }, signal)) {
      if (chunk.usage) found.usage = chunk.usage;
      const choice = chunk.choices?.[0];
      if (!choice) continue;
      const text = choice.delta?.content ?? choice.text ?? "";
      const reasoning = choice.delta?.reasoning_content ?? "";
      if (text || reasoning) {
        last = performance.now();
        found.first ??= (last - began) / 1000;
      }
      for (const token of choice.logprobs?.content ?? []) on.token?.(token);
      if (reasoning) on.reasoning?.(reasoning);
      if (text) on.text?.(text);
      found.reason = choice.finish_reason ?? found.reason;
    }
  } catch (error) {
    if (error.name !== "AbortError") throw error;
    found.stopped = true;
  }
  found.seconds = (last - began) / 1000;
  const tokens = found.usage?.completion_tokens ?? 0;
  if (tokens > 1 && found.seconds > found.first) found.rate = (tokens - 1) / (found.seconds - found.first);
  return found;
}
