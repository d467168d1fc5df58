// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

#include "textflag.h"

// func clone(call, flags, more, then uintptr) int
// The child may share the caller's stack: it uses registers alone.
TEXT ·clone(SB), NOSPLIT|NOFRAME, $0-40
	MOVD call+0(FP), R8
	MOVD flags+8(FP), R0
	MOVD more+16(FP), R1
	MOVD then+24(FP), R9
	MOVD ZR, R2
	MOVD ZR, R3
	MOVD ZR, R4
	SVC
	CBNZ R0, parent
	CBZ R9, end
	JMP (R9)
end:
	MOVD $93, R8 // exit
	SVC
parent:
	MOVD R0, ret+32(FP)
	RET
