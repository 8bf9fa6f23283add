// Answers at three paths: / greets, /visits counts for ever, /fetch?url=… passes on what another server says.
import { open } from "wasi:keyvalue/store@0.2.0-draft2";
import { increment } from "wasi:keyvalue/atomics@0.2.0-draft2";
import { get } from "wasi:config/store@0.2.0-rc.1";

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const url = new URL(request.url);
  switch (url.pathname) {
    case "/":
      return new Response(`${get("GREETING") ?? "Hello"}, ${url.searchParams.get("name") ?? "world"}!\n`);
    case "/visits":
      return new Response(`${increment(open("visits"), "all", 1n)}\n`);
    case "/fetch":
      try {
        const other = await fetch(url.searchParams.get("url"));
        return new Response(other.body, { status: other.status });
      } catch (error) {
        return new Response(`${error}\n`, { status: 502 });
      }
    default:
      return new Response("not found\n", { status: 404 });
  }
}
