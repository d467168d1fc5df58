// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

#include "textflag.h"

// func clone(call, flags, more, then uintptr) int
// The child may share the caller's stack: it uses registers alone.
TEXT ·clone(SB), NOSPLIT|NOFRAME, $0-40
	MOVQ call+0(FP), AX
	MOVQ flags+8(FP), DI
	MOVQ more+16(FP), SI
	MOVQ then+24(FP), R9
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	SYSCALL
	TESTQ AX, AX
	JNE parent
	TESTQ R9, R9
	JEQ end
	JMP R9
end:
	XORL DI, DI
	MOVL $60, AX // exit
	SYSCALL
parent:
	MOVQ AX, ret+32(FP)
	RET
