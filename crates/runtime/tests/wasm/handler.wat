;; A wasi:http/incoming-handler by hand. What it does is chosen by the first letter of the path:
;;   /hello   answers, with how often this instance has been called by its global and by its memory
;;   /echo    streams the request's body back          /big   answers 64 MiB of zeroes
;;   /wait    waits 300 ms, then as /hello             /loop  computes for ever
;;   /memory  takes memory until there is none         /trap  executes unreachable
;;   /fail    fails in the middle of its answer        /nothing  ends without an answer
;;   /print   prints to standard output
;;   /request?HOST  calls that host by HTTP, /secure?HOST by HTTPS: answers with its status, or 240 + the error code
(module
  (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.path-with-query" (func $path (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-request.consume" (func $consume (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $input (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.set-status-code"
    (func $set-status (param i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-response.body" (func $response-body (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-body.write" (func $output (param i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]outgoing-body.finish" (func $finish (param i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[static]response-outparam.set"
    (func $respond (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
  (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-scheme"
    (func $set-scheme (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority"
    (func $set-authority (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query"
    (func $set-path (param i32 i32 i32 i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]incoming-response.status" (func $status-of (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe"
    (func $future-subscribe (param i32) (result i32)))
  (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get" (func $future-get (param i32 i32)))
  (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $send (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
  (import "wasi:io/streams@0.2.0" "[method]output-stream.blocking-write-and-flush"
    (func $write-some (param i32 i32 i32 i32)))
  (import "wasi:io/streams@0.2.0" "[resource-drop]output-stream" (func $drop-output (param i32)))
  (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
  (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $after (param i64) (result i32)))
  (import "wasi:cli/stdout@0.2.0" "get-stdout" (func $stdout (result i32)))

  ;; 0: text; 256: the counter in memory; 1024: where results are put; 64 KiB: what the host hands over; 1
  ;; MiB: zeroes
  (memory (export "memory") 18)
  (data (i32.const 0) "hello xx\n")
  (data (i32.const 16) "one line\nand the rest")
  (data (i32.const 64) "/")
  (global $calls (mut i32) (i32.const 0))
  (global $body (mut i32) (i32.const 0))
  (global $out (mut i32) (i32.const 0))

  ;; One buffer for all: this guest has used up what it was handed before it asks for more.
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0x10000))

  (func $begin (param $outparam i32) (param $status i32)
    (local $response i32)
    (local.set $response (call $response (call $fields)))
    (drop (call $set-status (local.get $response) (local.get $status)))
    (call $response-body (local.get $response) (i32.const 1024))
    (global.set $body (i32.load (i32.const 1028)))
    (call $output (global.get $body) (i32.const 1024))
    (global.set $out (i32.load (i32.const 1028)))
    (call $respond (local.get $outparam) (i32.const 0) (local.get $response) (i32.const 0) (i64.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))

  ;; blocking-write-and-flush takes up to 4096 bytes.
  (func $write (param $from i32) (param $len i32)
    (local $some i32)
    (loop $more
      (if (i32.eqz (local.get $len)) (then (return)))
      (local.set $some
        (select (i32.const 4096) (local.get $len) (i32.gt_u (local.get $len) (i32.const 4096))))
      (call $write-some (global.get $out) (local.get $from) (local.get $some) (i32.const 1024))
      (if (i32.load8_u (i32.const 1024)) (then (unreachable)))
      (local.set $from (i32.add (local.get $from) (local.get $some)))
      (local.set $len (i32.sub (local.get $len) (local.get $some)))
      (br $more)))

  (func $end
    (call $drop-output (global.get $out))
    (call $finish (global.get $body) (i32.const 0) (i32.const 0) (i32.const 1024)))

  (func $hello (param $outparam i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store (i32.const 256) (i32.add (i32.load (i32.const 256)) (i32.const 1)))
    (i32.store8 (i32.const 6) (i32.add (i32.const 48) (global.get $calls)))
    (i32.store8 (i32.const 7) (i32.add (i32.const 48) (i32.load (i32.const 256))))
    (call $begin (local.get $outparam) (i32.const 200))
    (call $write (i32.const 0) (i32.const 9))
    (call $end))

  (func $echo (param $request i32) (param $outparam i32)
    (local $from i32)
    (call $consume (local.get $request) (i32.const 1024))
    (call $input (i32.load (i32.const 1028)) (i32.const 1024))
    (local.set $from (i32.load (i32.const 1028)))
    (call $begin (local.get $outparam) (i32.const 200))
    (loop $more
      (call $read (local.get $from) (i64.const 65536) (i32.const 1024))
      (if (i32.eqz (i32.load8_u (i32.const 1024)))
        (then
          (call $write (i32.load (i32.const 1028)) (i32.load (i32.const 1032)))
          (br $more))))
    (call $end))

  (func $big (param $outparam i32)
    (local $left i32)
    (call $begin (local.get $outparam) (i32.const 200))
    (local.set $left (i32.const 1024))
    (loop $more
      (call $write (i32.const 0x100000) (i32.const 0x10000))
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $more (local.get $left)))
    (call $end))

  (func $take-memory
    (loop $more
      (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (unreachable))

  (func $print
    (call $write-some (call $stdout) (i32.const 16) (i32.const 21) (i32.const 1024)))

  ;; The host is behind the path's nine bytes `/request?` or eight bytes `/secure?`; 1028 has the path, 1032 its length.
  (func $call-out (param $outparam i32) (param $scheme i32) (param $behind i32)
    (local $request i32) (local $future i32)
    (local.set $request (call $request (call $fields)))
    (drop (call $set-scheme (local.get $request) (i32.const 1) (local.get $scheme) (i32.const 0) (i32.const 0)))
    (drop (call $set-authority (local.get $request) (i32.const 1)
      (i32.add (i32.load (i32.const 1028)) (local.get $behind))
      (i32.sub (i32.load (i32.const 1032)) (local.get $behind))))
    (drop (call $set-path (local.get $request) (i32.const 1) (i32.const 64) (i32.const 1)))
    (call $send (local.get $request) (i32.const 0) (i32.const 0) (i32.const 1024))
    (local.set $future (i32.load (i32.const 1032)))
    (call $block (call $future-subscribe (local.get $future)))
    (call $future-get (local.get $future) (i32.const 1024))
    ;; some(ok(ok(response))) or some(ok(err(code)))
    (call $begin (local.get $outparam)
      (if (result i32) (i32.load8_u (i32.const 1040))
        (then (i32.add (i32.const 240) (i32.load8_u (i32.const 1048))))
        (else (call $status-of (i32.load (i32.const 1048))))))
    (call $end))

  (func $handle (export "wasi:http/incoming-handler@0.2.0#handle") (param $request i32) (param $outparam i32)
    (local $letter i32)
    (call $path (local.get $request) (i32.const 1024))
    (local.set $letter (i32.load8_u offset=1 (i32.load (i32.const 1028))))
    (if (i32.eq (local.get $letter) (i32.const 104)) (then (call $hello (local.get $outparam))))
    (if (i32.eq (local.get $letter) (i32.const 101))
      (then (call $echo (local.get $request) (local.get $outparam))))
    (if (i32.eq (local.get $letter) (i32.const 98)) (then (call $big (local.get $outparam))))
    (if (i32.eq (local.get $letter) (i32.const 108)) (then (loop $for-ever (br $for-ever))))
    (if (i32.eq (local.get $letter) (i32.const 109)) (then (call $take-memory)))
    (if (i32.eq (local.get $letter) (i32.const 116)) (then (unreachable)))
    (if (i32.eq (local.get $letter) (i32.const 112))
      (then (call $print) (call $hello (local.get $outparam))))
    (if (i32.eq (local.get $letter) (i32.const 114))
      (then (call $call-out (local.get $outparam) (i32.const 0) (i32.const 9))))
    (if (i32.eq (local.get $letter) (i32.const 115))
      (then (call $call-out (local.get $outparam) (i32.const 1) (i32.const 8))))
    (if (i32.eq (local.get $letter) (i32.const 119))
      (then
        (call $block (call $after (i64.const 300000000)))
        (call $hello (local.get $outparam))))
    (if (i32.eq (local.get $letter) (i32.const 102))
      (then
        (call $begin (local.get $outparam) (i32.const 200))
        (call $write (i32.const 0) (i32.const 5))
        (unreachable)))))
