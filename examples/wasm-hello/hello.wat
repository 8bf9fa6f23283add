;; Answers "Hello, NAME!" with the NAME of ?name=NAME, up to 64 bytes of it, or else "Hello, world!".
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))

  ;; 0: what to write; 16: how many variables, and their bytes; 4 KiB: their addresses; 64 KiB: the variables
  (memory (export "memory") 8)
  (data (i32.const 0x100) "Content-Type: text/plain\n\n")
  (data (i32.const 0x140) "Hello, ")
  (data (i32.const 0x150) "world")
  (data (i32.const 0x160) "!\n")
  (data (i32.const 0x170) "QUERY_STRING=name=")

  (func $print (param $text i32) (param $len i32)
    (i32.store (i32.const 0) (local.get $text))
    (i32.store (i32.const 4) (local.get $len))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))

  ;; What follows `QUERY_STRING=name=` in a variable, or 0 if it is another one.
  (func $name (param $variable i32) (result i32)
    (local $at i32)
    (loop $more
      (if (i32.ne
            (i32.load8_u (i32.add (local.get $variable) (local.get $at)))
            (i32.load8_u (i32.add (i32.const 0x170) (local.get $at))))
        (then (return (i32.const 0))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $at) (i32.const 18))))
    (i32.add (local.get $variable) (local.get $at)))

  ;; Up to the end of the variable or the next field of the query.
  (func $len (param $text i32) (result i32)
    (local $len i32) (local $byte i32)
    (loop $more
      (local.set $byte (i32.load8_u (i32.add (local.get $text) (local.get $len))))
      (if (i32.or (i32.eqz (local.get $byte)) (i32.eq (local.get $byte) (i32.const 38)))
        (then (return (local.get $len))))
      (local.set $len (i32.add (local.get $len) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $len) (i32.const 64))))
    (local.get $len))

  (func (export "_start")
    (local $left i32) (local $name i32)
    (drop (call $sizes (i32.const 16) (i32.const 20)))
    (drop (call $environ (i32.const 0x1000) (i32.const 0x10000)))
    (local.set $left (i32.load (i32.const 16)))
    (block $found
      (loop $more
        (br_if $found (i32.eqz (local.get $left)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (local.set $name
          (call $name (i32.load (i32.add (i32.const 0x1000) (i32.shl (local.get $left) (i32.const 2))))))
        (br_if $more (i32.eqz (local.get $name)))))
    (call $print (i32.const 0x100) (i32.const 26))
    (call $print (i32.const 0x140) (i32.const 7))
    (if (local.get $name)
      (then (call $print (local.get $name) (call $len (local.get $name))))
      (else (call $print (i32.const 0x150) (i32.const 5))))
    (call $print (i32.const 0x160) (i32.const 2))))
