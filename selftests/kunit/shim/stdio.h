/* SPDX-License-Identifier: GPL-2.0 */
#include <linux/printk.h>

#define printf(...)		pr_info(__VA_ARGS__)
#define fprintf(file, ...)	pr_info(__VA_ARGS__)
