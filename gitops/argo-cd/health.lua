-- Health of a DoraDeployment for Argo CD; argocd-cm.yaml beside this file carries the same text. See docs/how-to/argo-cd.md.
local needs_user = {
  Unauthorized = true, Forbidden = true, CredentialsInvalid = true, CredentialsNotReadable = true,
  DeploymentMissing = true, Ambiguous = true, NotApplied = true,
}
-- Nothing has to be sent, or nothing may be: no sync wave has to wait for that.
local at_rest = { WaitingForRollout = true, DryRun = true }

local hs = { status = "Progressing", message = "the operator has not reconciled this version of the resource yet" }
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return hs
end

local found = {}
for _, condition in ipairs(status.conditions or {}) do
  found[condition.type] = condition
end
local ready, stalled = found.Ready, found.Stalled
if ready == nil then
  return hs
end

hs.message = ready.reason .. ": " .. (ready.message or "")
if ready.status == "True" or at_rest[ready.reason] then
  hs.status = "Healthy"
elseif ready.reason == "Suspended" then
  hs.status = "Suspended"
elseif needs_user[ready.reason] or (stalled ~= nil and stalled.status == "True") then
  hs.status = "Degraded"
end
return hs
