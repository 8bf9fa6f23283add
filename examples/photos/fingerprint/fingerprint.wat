;; Draws the fingerprint of a request's body: its FNV-1a hash (64 bits) as an SVG of five by five cells,
;; mirrored, so that two pictures can be told apart at a glance. A WASI preview 1 command that speaks CGI: the
;; body is standard input, the answer goes to standard output. It is built from this text when it is deployed.
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  ;; 0: an iovec (address, length) and at 8 the count that was read or written.
  ;; 256: the texts below. 4096: the answer as it grows. 65536: one page of input.
  (memory (export "memory") 2)
  (data (i32.const 256) "Content-Type: image/svg+xml\n\n<svg xmlns=\"http://www.w3.org/2000/svg\" ")
  (data (i32.const 352) "viewBox=\"0 0 5 5\" fill=\"#")
  (data (i32.const 384) "\"><title>")
  (data (i32.const 400) "</title>")
  (data (i32.const 416) "<rect x=\"")
  (data (i32.const 432) "\" y=\"")
  (data (i32.const 448) "\" width=\"1\" height=\"1\"/>")
  (data (i32.const 480) "</svg>\n")

  (global $end (mut i32) (i32.const 4096))

  (func $append (param $from i32) (param $length i32)
    (memory.copy (global.get $end) (local.get $from) (local.get $length))
    (global.set $end (i32.add (global.get $end) (local.get $length))))

  (func $append_char (param $char i32)
    (i32.store8 (global.get $end) (local.get $char))
    (global.set $end (i32.add (global.get $end) (i32.const 1))))

  ;; The lowest `digits` hexadecimal digits of a number.
  (func $append_hex (param $number i64) (param $digits i32)
    (local $digit i32)
    (loop $next
      (local.set $digits (i32.sub (local.get $digits) (i32.const 1)))
      (local.set $digit (i32.and (i32.const 15) (i32.wrap_i64 (i64.shr_u
        (local.get $number) (i64.extend_i32_u (i32.shl (local.get $digits) (i32.const 2)))))))
      (call $append_char (i32.add (local.get $digit)
        (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $digit) (i32.const 10)))))
      (br_if $next (local.get $digits))))

  (func $append_cell (param $x i32) (param $y i32)
    (call $append (i32.const 416) (i32.const 9))
    (call $append_char (i32.add (i32.const 48) (local.get $x)))
    (call $append (i32.const 432) (i32.const 5))
    (call $append_char (i32.add (i32.const 48) (local.get $y)))
    (call $append (i32.const 448) (i32.const 24)))

  ;; FNV-1a of all of standard input.
  (func $hash_input (result i64)
    (local $hash i64) (local $at i32) (local $stop i32)
    (local.set $hash (i64.const 0xcbf29ce484222325))
    (loop $more
      (i32.store (i32.const 0) (i32.const 65536))
      (i32.store (i32.const 4) (i32.const 65536))
      (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))
        (then (call $proc_exit (i32.const 1))))
      (local.set $at (i32.const 65536))
      (local.set $stop (i32.add (i32.const 65536) (i32.load (i32.const 8))))
      (if (i32.lt_u (local.get $at) (local.get $stop))
        (then
          (loop $byte
            (local.set $hash (i64.mul (i64.const 0x100000001b3)
              (i64.xor (local.get $hash) (i64.load8_u (local.get $at)))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $byte (i32.lt_u (local.get $at) (local.get $stop))))
          (br $more))))
    (local.get $hash))

  ;; Cell (x, y) of the left three columns is drawn if bit 3y + x of the hash is set; the right two mirror it.
  (func $append_cells (param $hash i64)
    (local $cell i32) (local $x i32) (local $y i32)
    (loop $next
      (if (i64.ne (i64.const 0) (i64.and (i64.const 1)
            (i64.shr_u (local.get $hash) (i64.extend_i32_u (local.get $cell)))))
        (then
          (local.set $x (i32.rem_u (local.get $cell) (i32.const 3)))
          (local.set $y (i32.div_u (local.get $cell) (i32.const 3)))
          (call $append_cell (local.get $x) (local.get $y))
          (if (i32.lt_u (local.get $x) (i32.const 2))
            (then (call $append_cell (i32.sub (i32.const 4) (local.get $x)) (local.get $y))))))
      (local.set $cell (i32.add (local.get $cell) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $cell) (i32.const 15)))))

  (func $write_answer
    (local $at i32)
    (local.set $at (i32.const 4096))
    (loop $more
      (i32.store (i32.const 0) (local.get $at))
      (i32.store (i32.const 4) (i32.sub (global.get $end) (local.get $at)))
      (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
        (then (call $proc_exit (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
      (br_if $more (i32.lt_u (local.get $at) (global.get $end)))))

  (func (export "_start")
    (local $hash i64)
    (local.set $hash (call $hash_input))
    (call $append (i32.const 256) (i32.const 69))
    (call $append (i32.const 352) (i32.const 25))
    ;; The top 24 bits are the colour; the cells use the lowest 15.
    (call $append_hex (i64.shr_u (local.get $hash) (i64.const 40)) (i32.const 6))
    (call $append (i32.const 384) (i32.const 9))
    (call $append_hex (local.get $hash) (i32.const 16))
    (call $append (i32.const 400) (i32.const 8))
    (call $append_cells (local.get $hash))
    (call $append (i32.const 480) (i32.const 7))
    (call $write_answer)))
