;; Waits one second and says so.
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))

  ;; 0: the subscription, which is to the clock; 64: the event; 128: results; 256: what to write
  (memory (export "memory") 1)
  (data (i32.const 512) "Content-Type: text/plain\n\nwaited\n")

  (func (export "_start")
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 1000000000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))
    (i32.store (i32.const 256) (i32.const 512))
    (i32.store (i32.const 260) (i32.const 33))
    (drop (call $write (i32.const 1) (i32.const 256) (i32.const 1) (i32.const 128)))))
