# SPDX-License-Identifier: Apache-2.0
"""Kubernetes clusters on one Linux machine, from published sources.

Read in this order: versions (what is pinned), tools (how it is built and where
it is cached), cluster (names and addresses of one cluster, its processes),
certificates, control_plane, node, addons, images.
"""
