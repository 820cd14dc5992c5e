{
  "targets": [
    {
      "target_name": "eva_clip",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["package.json", "<!@(node scripts/native.mjs --list-inputs)"],
          "outputs": ["<(PRODUCT_DIR)/eva_clip.node"],
          "action": ["node", "scripts/native.mjs", "--config", "<(CONFIGURATION_NAME)", "--out", "<(PRODUCT_DIR)"]
        }
      ]
    }
  ]
}
