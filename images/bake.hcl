# `make images`, or by hand: docker buildx bake --file images/bake.hcl
variable "VERSION" {
  default = "dev"
}
# What the images are tagged with, where that is not the version.
variable "TAG" {
  default = VERSION
}
variable "REVISION" {
  default = "unknown"
}
# Releases pass an image with its digest.
variable "BASE" {
  default = "debian:bookworm-slim"
}
# A bundle of certificates, where a proxy opens TLS. It is used while packages are fetched and is in no layer.
variable "CA" {
  default = ""
}

# 1: the spine can offer its API as tools for agents (SPINE_MCP).
variable "MCP" {
  default = ""
}

# 1: the spine can send jobs' traces to a collector (OTEL_EXPORTER_OTLP_ENDPOINT).
variable "OTEL" {
  default = ""
}

group "default" {
  targets = ["spine", "claw", "head", "chat"]
}

target "role" {
  dockerfile = "images/Dockerfile"
  args = {
    BASE     = BASE
    VERSION  = VERSION
    REVISION = REVISION
  }
  secret = CA == "" ? [] : ["id=ca,src=${CA}"]
}

target "spine" {
  inherits = ["role"]
  target   = "spine"
  args     = { MCP = MCP, OTEL = OTEL }
  tags     = ["spinal-cord/spine:${TAG}"]
}

target "claw" {
  inherits = ["role"]
  target   = "claw"
  tags     = ["spinal-cord/claw:${TAG}"]
}

target "head" {
  inherits = ["role"]
  target   = "head"
  tags     = ["spinal-cord/head:${TAG}"]
}

target "chat" {
  inherits = ["role"]
  target   = "chat"
  tags     = ["spinal-cord/chat:${TAG}"]
}
