/* SPDX-License-Identifier: GPL-2.0 */
/* A failed case is ended by KUnit. */
