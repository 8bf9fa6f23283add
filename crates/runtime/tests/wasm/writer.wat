;; Says whether it found its memory as it is written here, and then writes to pages of 4 KiB: to those below UNTIL whose
;; numbers have none of the bits of SKIPPED. The test puts numbers in the places of the two words.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 64)
  (data (i32.const 0x100) "Content-Type: text/plain\n\nfresh")
  (data (i32.const 0x140) "Content-Type: text/plain\n\nstale")
  ;; In the middle, so that the image of the memory has pages that are written and such that are not.
  (data (i32.const 0x200000) "text")

  (func (export "_start") (local $page i32) (local $at i32) (local $found i32)
    (local.set $found (i32.xor (i32.load (i32.const 0x200000)) (i32.const 0x74786574)))
    (i32.store (i32.const 0x200000) (i32.const 7))
    (loop $next
      (local.set $at (i32.shl (local.get $page) (i32.const 12)))
      (local.set $found (i32.or (local.get $found) (i32.load offset=2048 (local.get $at))))
      (if (i32.and
            (i32.lt_u (local.get $page) (i32.const UNTIL))
            (i32.eqz (i32.and (local.get $page) (i32.const SKIPPED))))
        (then (i32.store offset=2048 (local.get $at) (i32.const 7))))
      (local.set $page (i32.add (local.get $page) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $page) (i32.const 1024))))
    (i32.store (i32.const 0) (select (i32.const 0x140) (i32.const 0x100) (local.get $found)))
    (i32.store (i32.const 4) (i32.const 31))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
