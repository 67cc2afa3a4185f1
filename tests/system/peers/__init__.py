# SPDX-License-Identifier: Apache-2.0
"""Clients and servers that behave, or misbehave on order."""
